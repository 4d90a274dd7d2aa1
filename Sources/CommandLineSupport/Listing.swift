public import ArgumentParser
import Glibc
import Telemetry

/// How data is printed.
public enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// Aligned columns for people.
    case table
    /// One JSON document.
    case json
    /// One JSON object a line.
    case jsonl
}

/// One column of a listing: a title and a text for people, a name and a value for programs.
public struct Column<Row>: Sendable {
    /// Where the texts of a column stand.
    public enum Alignment: Sendable {
        case left
        case right
    }

    let title: String
    let name: String
    let alignment: Alignment
    let text: @Sendable (Row) -> String
    let json: @Sendable (Row) -> JSONValue

    /// Creates a column whose text differs from its value.
    public init(
        _ title: String,
        _ name: String,
        _ alignment: Alignment = .left,
        json: @escaping @Sendable (Row) -> JSONValue,
        text: @escaping @Sendable (Row) -> String
    ) {
        self.title = title
        self.name = name
        self.alignment = alignment
        self.text = text
        self.json = json
    }

    /// Creates a column of texts.
    public init(_ title: String, _ name: String, _ text: @escaping @Sendable (Row) -> String) {
        self.init(title, name, json: { .string(text($0)) }, text: text)
    }

    /// Creates a column of counts.
    public init(_ title: String, _ name: String, count: @escaping @Sendable (Row) -> UInt64) {
        self.init(title, name, .right, json: { .unsigned(count($0)) }, text: { "\(count($0))" })
    }
}

/// What a command shows of its rows, in every output format.
public struct Listing<Row>: Sendable {
    private let columns: [Column<Row>]

    /// Creates a listing.
    public init(_ columns: [Column<Row>]) { self.columns = columns }

    /// The same with some of its columns alone.
    ///
    /// - Parameter names: What programs call them.
    public func only(_ names: Set<String>) -> Listing { Listing(columns.filter { names.contains($0.name) }) }

    /// Several rows: a table with a head, a JSON array, or JSON lines.
    public func text(of rows: [Row], format: OutputFormat, isColored: Bool = false) -> String {
        switch format {
        case .table: table(rows, isColored: isColored)
        case .json:
            "[" + rows.map { "\n  " + object($0).text }.joined(separator: ",") + (rows.isEmpty ? "]\n" : "\n]\n")
        case .jsonl: rows.map { object($0).text + "\n" }.joined()
        }
    }

    /// One row by itself: a line for each column, or a JSON object.
    public func text(of row: Row, format: OutputFormat) -> String {
        guard format == .table else { return object(row).text + "\n" }
        let width = columns.map(\.title.displayWidth).max() ?? 0
        let lines = columns.compactMap { column -> String? in
            let text = column.text(row).printable
            return text.isEmpty ? nil : padded(column.title.lowercased(), to: width, .left) + "  " + text
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Prints several rows to standard output, with a coloured head on a terminal.
    public func print(_ rows: [Row], format: OutputFormat) {
        writeToStandardOutput(text(of: rows, format: format, isColored: wantsColor(descriptor: STDOUT_FILENO)))
    }

    /// Prints one row to standard output.
    public func print(_ row: Row, format: OutputFormat) { writeToStandardOutput(text(of: row, format: format)) }

    /// Several rows as a value inside another one.
    public func json(of rows: [Row]) -> JSONValue { .array(rows.map { object($0) }) }

    private func object(_ row: Row) -> JSONValue { .object(columns.map { .init($0.name, $0.json(row)) }) }

    private func table(_ rows: [Row], isColored: Bool) -> String {
        let cells = rows.map { row in columns.map { $0.text(row).printable } }
        let widths = columns.indices.map { index in
            cells.reduce(columns[index].title.displayWidth) { max($0, $1[index].displayWidth) }
        }
        func line(_ texts: [String]) -> String {
            let parts = texts.indices.map { padded(texts[$0], to: widths[$0], columns[$0].alignment) }
            return String(parts.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
        }
        let head = line(columns.map { $0.title.uppercased() })
        return ([isColored ? "\u{1b}[1m\(head)\u{1b}[0m" : head] + cells.map(line)).map { $0 + "\n" }.joined()
    }

    private func padded(_ text: String, to width: Int, _ alignment: Column<Row>.Alignment) -> String {
        let space = String(repeating: " ", count: max(0, width - text.displayWidth))
        return alignment == .left ? text + space : space + text
    }
}
