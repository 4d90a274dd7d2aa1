import Recurrence
import TQModel
import Testing

@Suite("Recurrences as text")
struct TextTests {
    @Test(
        "A recurrence is written with everything that it says, which reads as the same one",
        arguments: [
            ("at:2026-11-21T09:00Z", "at:2026-11-21T09:00:00Z"),
            ("at:2026-11-21t10:00:00.5+01:00", "at:2026-11-21T09:00:00.500Z"),
            ("at: 2024-02-28T23:30:00-00:45", "at:2024-02-29T00:15:00Z"),
            ("at:1970-01-01T00:00:00Z", "at:1970-01-01T00:00:00Z"),
            ("at:9999-12-31T23:59:59.999Z", "at:9999-12-31T23:59:59.999Z"),
            ("every:90", "every:1m30s from 1970-01-01T00:00:00Z"),
            ("every:15m from 2026-01-01T00:00:00Z", "every:15m from 2026-01-01T00:00:00Z"),
            ("every:250ms", "every:250ms from 1970-01-01T00:00:00Z"), ("daily:9:05", "daily:09:05 UTC"),
            ("daily:23:59 Europe/Berlin", "daily:23:59 Europe/Berlin"),
            ("weekly:fri,mon 09:00 Etc/GMT+5", "weekly:MON,FRI 09:00 Etc/GMT+5"),
            ("weekly:1-5 09:00", "weekly:MON-FRI 09:00 UTC"), ("weekly:0,6 00:00", "weekly:SAT,SUN 00:00 UTC"),
            ("cron:0  9 * * mon-fri  Europe/Berlin", "cron:0 9 * * MON-FRI Europe/Berlin"),
            ("cron:@daily America/Argentina/Buenos_Aires", "cron:0 0 * * * America/Argentina/Buenos_Aires"),
            ("cron:*/5 * * * *", "cron:*/5 * * * * UTC"),
        ]
    )
    func forms(text: String, form: String) throws {
        let value = try recurrence(text)
        #expect(value.description == form)
        #expect(try recurrence(form) == value)
    }

    @Test(
        "What is no recurrence is refused with the part that is wrong and what is allowed",
        arguments: [
            ("", "it begins with ''; use at:, every:, daily:, weekly: or cron:"),
            ("dayly:09:00", "it begins with 'dayly'; use at:, every:, daily:, weekly: or cron:"),
            ("at:", "'' is no instant"), ("at:tomorrow", "'tomorrow' is no instant from 1970 to 9999"),
            ("at:2026-02-29T00:00Z", "is no instant"), ("at:2026-11-21T09:00", "use one such as 2026-11-21T09:00:00Z"),
            ("at:2026-11-21T24:00Z", "is no instant"), ("at:2026-11-21T09:00:60Z", "is no instant"),
            ("at:1969-12-31T23:59:59Z", "is no instant"), ("at:9999-12-31T23:59:59-00:01", "is no instant"),
            ("at:2026-11-21T09:00:00.1234Z", "is no instant"), ("at:2026-11-21T09:00:00.Z", "is no instant"),
            ("at:2026-11-21T09:00Z UTC", "'UTC' does not belong there"), ("every:", "'' is no interval"),
            ("every:0s", "'0s' is no interval; use one such as 30s"), ("every:367d", "at most 366d"),
            ("every:1h since 2026-01-01T00:00Z", "'since' does not belong there; use from and an instant"),
            ("every:1h from", "'' is no instant"), ("every:1h from 2026-01-01T00:00Z x", "'x' does not belong there"),
            ("daily:", "'' is no time"), ("daily:24:00", "'24:00' is no time; use 00:00 to 23:59"),
            ("daily:9", "'9' is no time"), ("daily:09:00:00", "is no time"), ("daily:09:00 Europe/", "a '/' stands"),
            ("daily:09:00 ../../etc/passwd", "use letters, digits, '_', '+', '-' and '/'"),
            ("daily:09:00 UTC UTC", "'UTC' does not belong there"), ("weekly:", "day of week is ''"),
            ("weekly:MON", "'' is no time"), ("weekly:* 09:00", "use daily:"),
            ("weekly:monday 09:00", "day of week is 'monday'; use 0 to 7, or SUN to SAT"),
            ("cron:0 9 * *", "it has 4 fields; use 5"), ("cron:@noon", "'@noon' is no known name"),
            ("cron:0 0 9 * * *", "The time zone '*' is not a name of one"), ("cron:0 9 * * * UTC x", "'x' does not"),
            ("cron:0 9 * * FOO UTC", "day of week is 'FOO'"),
            ("daily:09:00 \(String(repeating: "x", count: 65))", "it has 65 bytes; use 1 to 64"),
            ("daily:09:00" + String(repeating: " ", count: 300), "over the limit of 255"),
        ]
    )
    func refuses(text: String, sentence: String) {
        let error = #expect(throws: TQError.self) { try recurrence(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
    }

    @Test("A rule that no text could say is refused too")
    func rules() throws {
        let berlin = try ZoneName("Europe/Berlin".utf8)
        let noon = try #require(TimeOfDay(hour: 12, minute: 0))
        #expect(throws: TQError.self) { try Recurrence(.every(milliseconds: 0, from: 0)) }
        #expect(throws: TQError.self) { try Recurrence(.every(milliseconds: 367 * 86_400_000, from: 0)) }
        #expect(throws: TQError.self) { try Recurrence(.every(milliseconds: 1, from: .max)) }
        #expect(throws: TQError.self) { try Recurrence(.once(at: Recurrence.millisecondsMax + 1)) }
        #expect(throws: TQError.self) { try Recurrence(.once(at: 0), zone: berlin) }
        #expect(throws: TQError.self) { try Recurrence(.weekly([], noon)) }
        #expect(
            try Recurrence(.weekly([.sunday, .monday], noon), zone: berlin).description
                == "weekly:MON,SUN 12:00 Europe/Berlin"
        )
        #expect(TimeOfDay(hour: 24, minute: 0) == nil && TimeOfDay(hour: 0, minute: 60) == nil)
        #expect(Weekdays(rawValue: 0xff) == Weekdays(rawValue: 0x7f))
    }

    @Test(
        "A zone's name never leaves the directory of zones",
        arguments: [
            "", "/etc/passwd", "..", "Europe/../..", "Europe//Berlin", "Europe/", "./UTC", "a b", "a\0", "Zürich",
        ]
    )
    func zoneNames(text: String) {
        let error = #expect(throws: TQError.self) { try ZoneName(text.utf8) }
        #expect(error?.message.hasPrefix("The time zone '") == true)
    }

    @Test("Random changes of texts are refused or read as what they say")
    func mutations() throws {
        let texts = [
            "at:2026-11-21T09:00:00.250Z", "every:1h30m from 2026-01-01T00:00:00Z", "daily:09:00 Europe/Berlin",
            "weekly:MON,FRI 09:00 Asia/Kolkata", "cron:*/5,7 8-17/2 1,15 JAN-JUN MON-SUN UTC", "cron:@weekly",
        ]
        let letters = Array("0123456789*/,-: @+TZfromMONSUNJAN\0\u{ff}".utf8) + [0xff, 0x80]
        var random = SplitMix64(seed: 17)
        var readCount = 0
        for _ in 0..<20_000 {
            var bytes = Array(texts[Int(random.next() % UInt64(texts.count))].utf8)
            for _ in 0...random.next() % 3 {
                let place = Int(random.next() % UInt64(bytes.count))
                let letter = letters[Int(random.next() % UInt64(letters.count))]
                switch random.next() % 3 {
                case 0: bytes[place] = letter
                case 1: bytes.insert(letter, at: place)
                default: bytes.remove(at: place)
                }
            }
            guard let value = try? Recurrence(bytes) else { continue }
            readCount += 1
            #expect(try recurrence(value.description) == value)
            #expect(value.description.utf8.count <= Recurrence.textBytesMax)
        }
        #expect(readCount > 1000)
    }
}
