import Foundation
import Testing

/// Runs the body with the path of a file of that content, named `config.yaml`, and removes it.
func withFile<Value>(_ content: String, _ body: (String) throws -> Value) throws -> Value {
    let directory = FileManager.default.temporaryDirectory.appending(component: UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let file = directory.appending(component: "config.yaml")
    try Data(content.utf8).write(to: file)
    return try body(file.path)
}
