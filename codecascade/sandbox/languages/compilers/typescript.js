"use strict";
// A compiler that stays: programs on standard input, JavaScript or complaints on standard output. The frames are
// those of warm.py. No program is ever run here, and nothing is written to the disk.

const fs = require("fs");
const path = require("path");
const ts = require(process.argv[2]);

// `tsc --target esnext`, MultiPL-E's command; what later versions made stricter stays as it was then.
const options = { target: ts.ScriptTarget.ESNext, strict: false, types: [], newLine: ts.NewLineKind.LineFeed };
const libraryFolder = path.dirname(ts.getDefaultLibFilePath(options));
const library = new Map(); // parsed and bound once: nearly all of what a compilation costs

function compile(name, text) {
    const program = ts.createProgram({ rootNames: [name], options, host: host(name, text) });
    // The program's own file only: checking the library again for each program is what makes tsc slow.
    const file = program.getSourceFile(name);
    const diagnostics = [
        ...program.getOptionsDiagnostics(),
        ...program.getSyntacticDiagnostics(file),
        ...program.getSemanticDiagnostics(file),
    ];
    if (diagnostics.length) {
        return { complaints: diagnostics.map(describe).join("\n") };
    }
    const files = [];
    program.emit(file, (fileName, content) => files.push([path.basename(fileName), Buffer.from(content)]));
    return { files };
}

function host(name, text) {
    return {
        fileExists: (file) => file === name || inLibrary(file),
        readFile: (file) => (file === name ? text : inLibrary(file) ? fs.readFileSync(file, "utf8") : undefined),
        getSourceFile(file, languageVersion) {
            if (file === name) {
                return ts.createSourceFile(file, text, languageVersion, true);
            }
            if (!inLibrary(file)) {
                return undefined;
            }
            if (!library.has(file)) {
                library.set(file, ts.createSourceFile(file, fs.readFileSync(file, "utf8"), languageVersion));
            }
            return library.get(file);
        },
        getDefaultLibFileName: (given) => ts.getDefaultLibFilePath(given),
        getDefaultLibLocation: () => libraryFolder,
        writeFile: () => {},
        getCurrentDirectory: () => "/",
        getCanonicalFileName: (file) => file,
        useCaseSensitiveFileNames: () => true,
        getNewLine: () => "\n",
        directoryExists: () => false,
        getDirectories: () => [],
    };
}

function inLibrary(file) {
    return path.dirname(file) === libraryFolder && file.endsWith(".d.ts") && fs.existsSync(file);
}

function describe(diagnostic) {
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
    if (!diagnostic.file) {
        return message;
    }
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start);
    return `line ${line + 1}: TS${diagnostic.code}: ${message}`;
}

// --- frames -------------------------------------------------------------------------------------------------

function readExactly(size) {
    const bytes = Buffer.alloc(size);
    for (let have = 0; have < size; ) {
        const count = fs.readSync(0, bytes, have, size - have, null);
        if (count === 0) {
            process.exit(0);
        }
        have += count;
    }
    return bytes;
}

function readText() {
    return readExactly(readExactly(4).readUInt32BE()).toString("utf8");
}

function frame(bytes) {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(bytes.length);
    return Buffer.concat([size, bytes]);
}

function write(bytes) {
    for (let done = 0; done < bytes.length; ) {
        done += fs.writeSync(1, bytes, done);
    }
}

for (;;) {
    const name = readText();
    let answer;
    try {
        answer = compile("/" + name, readText());
    } catch (error) {
        answer = { complaints: String(error) }; // deep nesting: the compiler's own stack ends
    }
    const count = Buffer.alloc(4);
    count.writeInt32BE(answer.files ? answer.files.length : -1);
    const parts = answer.files
        ? answer.files.flatMap(([file, content]) => [frame(Buffer.from(file)), frame(content)])
        : [frame(Buffer.from(answer.complaints))];
    write(Buffer.concat([count, ...parts]));
}
