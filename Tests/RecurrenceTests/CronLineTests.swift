import Recurrence
import TQModel
import Testing

@Suite("Cron lines")
struct CronLineTests {
    @Test(
        "A line is written in the shortest of the usual forms, which reads as the same line",
        arguments: [
            ("* * * * *", "* * * * *"), ("*/1 */1 */1 */1 */1", "* * * * *"), ("\t05   09\t* *  * ", "5 9 * * *"),
            ("*/5 * * * *", "*/5 * * * *"), ("10-40/3 * * * *", "10-40/3 * * * *"),
            ("5,3,4,10 * * * *", "3-5,10 * * * *"), ("1,2 * * * *", "1,2 * * * *"), ("0,30 * * * *", "0,30 * * * *"),
            ("0,20,40 * * * *", "0-40/20 * * * *"), ("0-59 0-23 * * *", "0-59 0-23 * * *"),
            ("*/20,5 * * * *", "*/20,5 * * * *"), ("*,5 * * * *", "* * * * *"), ("5,* * * * *", "0-59 * * * *"),
            ("0 9 * * mon-FRI", "0 9 * * MON-FRI"), ("0 9 * * 1-5", "0 9 * * MON-FRI"),
            ("0 9 * * 0", "0 9 * * SUN"), ("0 9 * * 7", "0 9 * * SUN"), ("0 9 * * fri-sun", "0 9 * * FRI-SUN"),
            ("0 9 * * 5-7", "0 9 * * FRI-SUN"), ("0 9 * * SUN-TUE", "0 9 * * MON,TUE,SUN"),
            ("0 9 * * 0-7", "0 9 * * MON-SUN"), ("0 9 * * SUN-SUN", "0 9 * * SUN"), ("0 9 * * */2", "0 9 * * */2"),
            ("0 9 * * */7", "0 9 * * */7"),
            ("0 9 1 jan,Feb,dec *", "0 9 1 JAN,FEB,DEC *"), ("0 9 */2 */3 *", "0 9 */2 */3 *"),
            ("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@Weekly", "0 0 * * SUN"),
            ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 JAN *"), ("@annually", "0 0 1 JAN *"),
        ]
    )
    func forms(text: String, form: String) throws {
        let line = try CronLine(text.utf8)
        #expect(line.description == form)
        #expect(try CronLine(form.utf8) == line)
    }

    @Test(
        "What is no line is refused with the field, what it says and what is allowed",
        arguments: [
            ("", "it has 0 fields; use 5: minute, hour, day of month, month, day of week"),
            ("* * * *", "it has 4 fields; use 5"), ("0 * * * * *", "it has 6 fields; use 5"),
            ("60 * * * *", "minute is '60'; use 0 to 59"), ("-1 * * * *", "minute is ''; use 0 to 59"),
            ("0 24 * * *", "hour is '24'; use 0 to 23"), ("0 0 0 * *", "day of month is '0'; use 1 to 31"),
            ("0 0 32 * *", "day of month is '32'; use 1 to 31"), ("0 0 L * *", "day of month is 'L'; use 1 to 31"),
            ("0 0 * 13 *", "month is '13'; use 1 to 12, or JAN to DEC"),
            ("0 0 * June *", "month is 'June'; use 1 to 12, or JAN to DEC"),
            ("0 0 * * 8", "day of week is '8'; use 0 to 7, or SUN to SAT"),
            ("0 0 * * MON#2", "day of week is 'MON#2'; use 0 to 7, or SUN to SAT"),
            ("0 0 ? * *", "day of month is '?'"), ("1,,2 * * * *", "minute is ''"), ("1, * * * *", "minute is ''"),
            ("5/10 * * * *", "a step needs a range, such as 5-59/10"),
            ("*/0 * * * *", "the step of minute is '0'; use 1 to 59"),
            ("*/90 * * * *", "the step of minute is '90'; use 1 to 59"), ("*/ * * * *", "the step of minute is ''"),
            ("*/2/2 * * * *", "the step of minute is '2/2'"), ("1-2-3 * * * *", "minute is '2-3'"),
            ("0 22-6 * * *", "hour is '22-6', which runs backwards; write 22-23,0-6"),
            ("0 0 * * FRI-MON", "write 5-6,0-1"), ("** * * * *", "minute is '**'"), ("+5 * * * *", "minute is '+5'"),
            ("0 0 30 2 *", "day of month '30' is not in month '2'"), ("0 0 31 4,6,9,11 *", "it never runs"),
            ("0 0 30-31 feb */2", "it never runs"), ("@reboot", "'@reboot' is no known name; use one of @hourly"),
            ("@", "'@' is no known name"), ("\u{0} * * * *", "minute is '\u{0}'"),
            (String(repeating: "1,", count: 200) + "1 * * * *", "over the limit of 255"),
        ]
    )
    func refuses(text: String, sentence: String) {
        let error = #expect(throws: TQError.self) { try CronLine(text.utf8) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
    }

    @Test("A line is one of fixed times unless its minute or hour begins with a star")
    func fixedTimes() throws {
        for text in ["30 2 * * *", "0-59 0-23 * * *", "5,* 2 * * *", "@daily"] {
            #expect(try CronLine(text.utf8).isFixedTime, "\(text)")
        }
        for text in ["* 2 * * *", "*/30 2 * * *", "*,5 2 * * *", "0 * * * *", "0 */2 * * *", "@hourly"] {
            #expect(try !CronLine(text.utf8).isFixedTime, "\(text)")
        }
    }

    @Test(
        "A day may match either of two restricted fields, and must match both when one begins with a star",
        arguments: [
            ("0 0 13 * FRI", ["2026-02-06", "2026-02-13", "2026-02-20", "2026-02-27", "2026-03-06"]),
            ("0 0 1,15 * MON", ["2026-02-02", "2026-02-09", "2026-02-15", "2026-02-16", "2026-02-23"]),
            ("0 0 */2 * FRI", ["2026-02-13", "2026-02-27", "2026-03-13", "2026-03-27", "2026-04-03"]),
            ("0 0 13 * */5", ["2026-02-13", "2026-03-13", "2026-09-13", "2026-11-13", "2026-12-13"]),
            ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29", "2044-02-29"]),
            ("0 0 29 2 */7", ["2032-02-29", "2060-02-29", "2088-02-29", "2128-02-29", "2156-02-29"]),
            ("0 0 31 2,4,5 *", ["2026-05-31", "2027-05-31", "2028-05-31", "2029-05-31", "2030-05-31"]),
        ]
    )
    func days(line: String, days: [String]) throws {
        let ticks = try recurrence("cron:\(line)").upcoming(after: instant("2026-02-01T00:00Z"), count: 5, in: .utc)
        #expect(ticks == (try days.map { try instant("\($0)T00:00Z") }))
    }

    @Test("Nothing is due after the year 9999")
    func end() throws {
        let last = try instant("9999-12-31T23:59Z")
        #expect(try recurrence("cron:* * * * *").next(after: last - 1, in: .utc) == last)
        for text in ["cron:* * * * *", "cron:0 0 29 2 *", "daily:00:00", "every:1ms", "at:2026-01-01T00:00Z"] {
            #expect(try recurrence(text).next(after: Recurrence.millisecondsMax, in: .utc) == nil)
            #expect(try recurrence(text).next(after: .max, in: .utc) == nil)
        }
    }
}
