import FoundationEssentials
public import TQModel

/// A kind of task with its input and output types; both travel as JSON.
///
/// ```swift
/// enum SendEmail: TaskDefinition {
///     struct Input: Codable, Sendable { var to: String }
///     struct Output: Codable, Sendable { var messageID: String }
///     static let taskType = "send_email"
/// }
/// ```
public protocol TaskDefinition: Sendable {
    /// What the submitter gives and the handler gets.
    associatedtype Input: Codable & Sendable
    /// What the handler returns and the submitter gets.
    associatedtype Output: Codable & Sendable
    /// The name under which workers register their handler.
    static var taskType: String { get }
    /// The queue for its tasks; ``Defaults/queue`` unless said otherwise.
    static var queue: String { get }
}

extension TaskDefinition {
    /// The queue named ``Defaults/queue``.
    public static var queue: String { Defaults.queue }
}

extension TQClient {
    /// Stores a task of that kind.
    ///
    /// - Parameter configure: Changes the task before it is sent: priority, start, retries, key.
    public func submit<Definition: TaskDefinition>(
        _: Definition.Type,
        _ input: Definition.Input,
        configure: (inout TaskSpec) -> Void = { _ in }
    ) async throws(TQError) -> TaskHandle<Definition.Output> {
        var task = TaskSpec(
            queue: Name(Definition.queue),
            type: Name(Definition.taskType),
            payload: try JSONPayload.encode(input),
            content: Content(type: JSONPayload.contentType)
        )
        configure(&task)
        return TaskHandle(id: try await submit(task), client: self)
    }
}

/// A submitted task whose result has a type.
public struct TaskHandle<Output: Decodable & Sendable>: Sendable {
    /// The id by which the broker knows the task, for another process or for ``TQClient/status(_:)``.
    public let id: TaskID
    let client: TQClient

    public init(id: TaskID, client: TQClient) {
        self.id = id
        self.client = client
    }

    /// What the task returned, waiting for its end that long.
    ///
    /// - Throws: `timedOut`, `taskFailed` with the last error of a dead letter, `taskCancelled`, or `invalidArgument` when
    ///   the result is not the JSON of an `Output`.
    public func result(within limit: Duration) async throws(TQError) -> Output {
        let result = try await client.waitForResult(id, within: limit)
        switch result.state {
        case .completed: return try JSONPayload.decode(Output.self, from: result.result)
        case .cancelled: throw TQError(.taskCancelled, "Task \(id) was cancelled.")
        default:
            throw TQError(.taskFailed, "Task \(id) failed: \(String(decoding: result.error, as: UTF8.self))")
        }
    }
}

/// Values as payloads and results.
public enum JSONPayload {
    /// What such bytes are.
    public static let contentType: Name = "application/json"

    /// The JSON of a value.
    ///
    /// - Throws: `invalidArgument` when the value has no JSON form.
    public static func encode(_ value: some Encodable) throws(TQError) -> Bytes {
        do { return Bytes(try JSONEncoder().encode(value)) } catch {
            throw TQError(.invalidArgument, "A \(type(of: value)) cannot be written as JSON: \(error).")
        }
    }

    /// The value of which the bytes are the JSON.
    ///
    /// - Throws: `invalidArgument` when they are not the JSON of such a value.
    public static func decode<Value: Decodable>(_: Value.Type, from bytes: Bytes) throws(TQError) -> Value {
        do { return try JSONDecoder().decode(Value.self, from: Data(bytes)) } catch {
            throw TQError(.invalidArgument, "\(bytes.count) bytes are not the JSON of a \(Value.self): \(error).")
        }
    }
}
