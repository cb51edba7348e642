import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * A compiler that stays: programs on standard input, class files or complaints on standard output.
 * The frames are those of warm.py. No program is ever run here, and nothing is written to the disk.
 */
final class Compiler {
    public static void main(String[] arguments) throws IOException {
        DataInputStream requests = new DataInputStream(System.in);
        DataOutputStream answers = new DataOutputStream(System.out);
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        // Kept open: it remembers the library's packages, which is most of what starting costs.
        StandardJavaFileManager files =
                compiler.getStandardFileManager(null, Locale.ROOT, StandardCharsets.UTF_8);
        List<String> options = List.of("-proc:none", "-nowarn", "-Xlint:none", "-classpath", arguments[0]);
        while (true) {
            String name;
            try {
                name = readText(requests);
            } catch (EOFException end) {
                return;
            }
            answer(answers, compiler, files, options, new Source(name, readText(requests)));
            answers.flush();
        }
    }

    private static void answer(DataOutputStream answers, JavaCompiler compiler, StandardJavaFileManager files,
            List<String> options, Source source) throws IOException {
        DiagnosticCollector<JavaFileObject> diagnostics = new DiagnosticCollector<>();
        Memory memory = new Memory(files);
        boolean compiled;
        StringBuilder complaints = new StringBuilder();
        try {
            compiled = compiler.getTask(new StringWriter(), memory, diagnostics, options, null, List.of(source)).call();
        } catch (RuntimeException | StackOverflowError failure) {
            compiled = false;
            complaints.append(failure).append('\n');
        }
        if (compiled) {
            answers.writeInt(memory.classes.size());
            for (Map.Entry<String, ByteArrayOutputStream> file : memory.classes.entrySet()) {
                writeBytes(answers, file.getKey().getBytes(StandardCharsets.UTF_8));
                writeBytes(answers, file.getValue().toByteArray());
            }
            return;
        }
        for (Diagnostic<? extends JavaFileObject> found : diagnostics.getDiagnostics()) {
            if (found.getKind() == Diagnostic.Kind.ERROR) {
                complaints.append("line ").append(found.getLineNumber()).append(": ");
                complaints.append(found.getMessage(Locale.ROOT).replaceAll("\\s*\n\\s*", "; ")).append('\n');
            }
        }
        answers.writeInt(-1);
        writeBytes(answers, complaints.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static String readText(DataInputStream input) throws IOException {
        byte[] bytes = new byte[input.readInt()];
        input.readFully(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static void writeBytes(DataOutputStream output, byte[] bytes) throws IOException {
        output.writeInt(bytes.length);
        output.write(bytes);
    }

    private static final class Source extends SimpleJavaFileObject {
        private final String text;

        Source(String name, String text) {
            super(URI.create("string:///" + name), Kind.SOURCE);
            this.text = text;
        }

        @Override
        public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }
    }

    /** Class files are kept in memory, by the name that they would have below the output folder. */
    private static final class Memory extends ForwardingJavaFileManager<StandardJavaFileManager> {
        final Map<String, ByteArrayOutputStream> classes = new TreeMap<>();

        Memory(StandardJavaFileManager files) {
            super(files);
        }

        @Override
        public JavaFileObject getJavaFileForOutput(JavaFileManager.Location location, String name,
                JavaFileObject.Kind kind, FileObject sibling) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            String path = name.replace('.', '/') + kind.extension;
            classes.put(path, bytes);
            return new SimpleJavaFileObject(URI.create("memory:///output" + kind.extension), kind) {
                @Override
                public OutputStream openOutputStream() {
                    return bytes;
                }
            };
        }
    }
}
