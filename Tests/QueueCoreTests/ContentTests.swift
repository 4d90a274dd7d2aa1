import TQModel
import Testing

@testable import QueueCore

@Suite("What payloads are")
struct ContentTests {
    private func spec(_ content: Content, key: String = "", queue: Name = "q") -> TaskSpec {
        TaskSpec(queue: queue, type: "t", payload: [1], content: content, idempotencyKey: Bytes(key.utf8))
    }

    private let json = Content(type: "application/json")
    private let packedText = Content(type: "text/plain", encoding: .zstd)
    private let packed = Content(encoding: .zstd)

    private func code(_ result: Result<Submission, TQError>) -> TQError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    @Test("A delivery says what the submit said, before and after a restart")
    func delivered() throws {
        var core = CoreHarness()
        let contents = [json, .unspecified, packedText, packed]
        for content in contents { core.submit(spec(content)) }
        #expect(core.claim(2).map(\.content) == Array(contents[..<2]))
        try core.restart()
        #expect(core.claim(2).map(\.content) == Array(contents[2...]))
        try core.checkIndex()
    }

    @Test("A content type has no blanks, and there are only so many: what is known goes on being taken")
    func limit() {
        var core = CoreHarness()
        #expect(code(core.submit(spec(Content(type: "text/plain; charset=utf-8")))) == .invalidArgument)
        #expect(code(core.submit(spec(Content(type: "")))) == .invalidArgument)
        for number in 0..<Limits.contentTypesMax {
            #expect(code(core.submit(spec(Content(type: Name("type/\(number)"))))) == nil)
        }
        #expect(code(core.submit(spec(json))) == .limitExceeded)
        #expect(code(core.submit(spec(Content(type: "type/0", encoding: .zstd)))) == nil)
        #expect(code(core.submit(spec(packed))) == nil)
        let last = core.claim(1000).last(where: { $0.content.type == "type/999" })
        #expect(last?.content == Content(type: "type/999"))
    }

    @Test("Another content type or encoding is another content for an idempotency key")
    func idempotency() {
        var core = CoreHarness()
        core.submit(spec(json, key: "k"))
        #expect(code(core.submit(spec(json, key: "k"))) == nil)
        for other in [Content.unspecified, packed, packedText, Content(type: "application/json", encoding: .zstd)] {
            #expect(code(core.submit(spec(other, key: "k"))) == .conflict)
        }
    }

    @Test("A slot keeps its size, and its fields keep out of each other's way")
    func slot() {
        #expect(MemoryLayout<TaskSlot>.size == 40)
        var slot = TaskSlot()
        slot.createdMilliseconds = .max
        slot.hasEarlierAttempts = true
        let content = StoredContent(type: UInt32(Limits.contentTypesMax), .zstd)
        slot.setPayload(byteCount: UInt32(Limits.payloadBytesMax), content)
        #expect(slot.content == content)
        #expect(slot.createdMilliseconds == 0xffff_ffff_ffff)
        #expect(slot.hasEarlierAttempts)
        #expect((Limits.payloadBytesMax...2 * Limits.payloadBytesMax).contains(slot.payloadByteCountMax))
        slot.setPayload(byteCount: 0, .unspecified)
        #expect(slot.content == .unspecified)
        #expect(slot.payloadByteCountMax == 1)
    }
}
