using System;
using System.IO;
using System.Text;
using Mono.CSharp;

// A compiler that stays: programs on standard input, executables or complaints on standard output. The frames are
// those of warm.py. It is mcs itself, called as a library. No program is ever run here; mcs can only write to the
// disk, so that the executable passes through the scratch folder.
static class Compiler {
    static void Main() {
        Stream requests = Console.OpenStandardInput();
        Stream answers = Console.OpenStandardOutput();
        Console.SetOut(TextWriter.Null);
        while (true) {
            string name = ReadText(requests);
            if (name == null)
                return;
            string source = ReadText(requests);
            byte[] answer = Answer(name, source);
            answers.Write(answer, 0, answer.Length);
            answers.Flush();
        }
    }

    static byte[] Answer(string name, string source) {
        string executable = Path.ChangeExtension(name, ".exe");
        File.Delete(executable);
        File.WriteAllText(name, source, new UTF8Encoding(false));
        var complaints = new StringWriter();
        bool compiled;
        try {
            compiled = CompilerCallableEntryPoint.InvokeCompiler(
                new[] { "-d:DEBUG", "-warn:0", "-r:System.Numerics.dll", "-out:" + executable, name }, complaints);
        } catch (Exception failure) {
            complaints.WriteLine(failure.Message);
            compiled = false;
        }
        var answer = new MemoryStream();
        if (compiled) {
            WriteNumber(answer, 1);
            WriteBytes(answer, Encoding.UTF8.GetBytes(executable));
            WriteBytes(answer, File.ReadAllBytes(executable));
        } else {
            WriteNumber(answer, -1);
            WriteBytes(answer, Encoding.UTF8.GetBytes(complaints.ToString()));
        }
        return answer.ToArray();
    }

    static string ReadText(Stream input) {
        byte[] size = ReadExactly(input, 4);
        if (size == null)
            return null;
        byte[] text = ReadExactly(input, size[0] << 24 | size[1] << 16 | size[2] << 8 | size[3]);
        return text == null ? null : Encoding.UTF8.GetString(text);
    }

    static byte[] ReadExactly(Stream input, int size) {
        var bytes = new byte[size];
        for (int have = 0; have < size;) {
            int count = input.Read(bytes, have, size - have);
            if (count == 0)
                return null;
            have += count;
        }
        return bytes;
    }

    static void WriteNumber(Stream output, int number) {
        output.Write(new[] { (byte)(number >> 24), (byte)(number >> 16), (byte)(number >> 8), (byte)number }, 0, 4);
    }

    static void WriteBytes(Stream output, byte[] bytes) {
        WriteNumber(output, bytes.Length);
        output.Write(bytes, 0, bytes.Length);
    }
}
