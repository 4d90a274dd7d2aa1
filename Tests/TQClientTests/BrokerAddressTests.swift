import TQModel
import Testing

@testable import TQClient

@Suite("Broker addresses")
struct BrokerAddressTests {
    @Test(
        "Lists of hosts and ports are read",
        arguments: [
            ("localhost", [BrokerAddress(host: "localhost", port: 6379)]),
            ("a:1,b:2", [BrokerAddress(host: "a", port: 1), BrokerAddress(host: "b", port: 2)]),
            ("a:1, b", [BrokerAddress(host: "a", port: 1), BrokerAddress(host: "b", port: 6379)]),
            ("[::1]:7000", [BrokerAddress(host: "::1", port: 7000)]),
            ("[fe80::1]", [BrokerAddress(host: "fe80::1", port: 6379)]),
            // A sign that joins what follows it into one character.
            ("a\u{6dd}:1,b", [BrokerAddress(host: "a\u{6dd}", port: 1), BrokerAddress(host: "b", port: 6379)]),
        ]
    )
    func valid(text: String, expected: [BrokerAddress]) throws {
        #expect(try BrokerAddress.list(text) == expected)
    }

    @Test(
        "What is no address is refused by name",
        arguments: [
            "", "a:", ":1", "a:0", "a:70000", "a:1,,b:2", "::1:80", "a:x", "[]", "[]:1", "[ a]", "[[a]]:1", "a b",
        ]
    )
    func invalid(text: String) throws {
        let error = #expect(throws: TQError.self) { try BrokerAddress.list(text) }
        #expect(error?.code == .invalidArgument)
    }

    @Test("An address is shown as it is written")
    func description() {
        #expect(BrokerAddress(host: "::1", port: 1).description == "[::1]:1")
        #expect(BrokerAddress(host: "a", port: 1).description == "a:1")
    }
}
