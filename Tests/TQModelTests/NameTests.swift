import TQModel
import Testing

@Suite("Names and patterns")
struct NameTests {
    @Test("Names of 1 to 255 bytes of UTF-8 are taken", arguments: ["q", "email.send", "größe", "日本", "a/b:c", "-"])
    func valid(text: String) { #expect(Name(text).isValid) }

    @Test("A name has at most 255 bytes, not characters")
    func length() {
        #expect(Name(String(repeating: "x", count: 255)).isValid)
        #expect(!Name(String(repeating: "x", count: 256)).isValid)
        #expect(!Name(String(repeating: "é", count: 128)).isValid)
        #expect(!Name("").isValid)
    }

    @Test(
        "Blanks, control characters and stars are refused",
        arguments: ["a b", "a\tb", "a\n", "\u{7f}", "\u{9f}", "a\u{a0}b", "\0", "*", "a*", "\u{2028}"]
    )
    func invalid(text: String) { #expect(!Name(text).isValid) }

    @Test(
        "Bytes that are no UTF-8 are refused",
        arguments: [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]] as [[UInt8]]
    )
    func invalidBytes(bytes: [UInt8]) {
        #expect(!Name(bytes: Bytes(bytes)).isValid)
        #expect(!TypePattern(bytes: Bytes(bytes)).isValid)
    }

    @Test("A part of a larger buffer is the same name")
    func slices() {
        let buffer = Array("xxemail.sendyy".utf8)
        let name = Name(bytes: buffer[2..<12])
        #expect(name == "email.send")
        #expect(name.hashValue == Name("email.send").hashValue)
        #expect(name.isValid)
        #expect(name.description == "email.send")
        #expect(TypePattern("email.*").matches(name.bytes))
        #expect(TypePattern(bytes: buffer[2..<12]).matches(Name("email.send").bytes))
    }

    @Test("A pattern is a name, or a prefix followed by one star")
    func patterns() {
        for text in ["email.send", "email.*", "*", "e*"] { #expect(TypePattern(text).isValid) }
        for text in ["", "**", "a**", "*a", "a*b", "a b*", "a b"] { #expect(!TypePattern(text).isValid) }
    }

    @Test("A prefix matches what begins with it, a name matches itself")
    func matching() {
        func matches(_ pattern: String, _ type: String) -> Bool { TypePattern(pattern).matches(Name(type).bytes) }
        #expect(matches("email.*", "email.send"))
        #expect(matches("email.*", "email."))
        #expect(!matches("email.*", "email"))
        #expect(!matches("email.*", "emails.send"))
        #expect(matches("*", "anything"))
        #expect(matches("email", "email"))
        #expect(!matches("email", "email.send"))
    }
}
