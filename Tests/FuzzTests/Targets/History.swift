import HistoryChecker
import TQModel

extension FuzzTarget {
    /// The file that a recorded run leaves; the checker must survive whatever stands in it.
    static let history = FuzzTarget(
        name: "history",
        summary: "lines of recorded histories, and the checker that reads them",
        seeds: {
            let id = "00000000-0000-0001-0000-000000000001"
            let lines = [
                "1\t2\t0\tserving", "1\t2\t1\tinvoked\t1\tsubmit\t1\t-\t7\t9\t0\t3\t3",
                "2\t2\t1\treturned\t1\tsubmitted\t\(id)\t0", "3\t3\t2\tinvoked\t2\tclaim\t1",
                "4\t3\t2\treturned\t2\tdelivered\t\(id)\t5\t1\t1000\t9",
                "5\t4\t2\tinvoked\t3\tfail\t\(id)\t5\t0\t10", "6\t5\t2\treturned\t3\tdone",
                "7\t6\t2\tinvoked\t4\trenew\t\(id)\t5\t100", "8\t7\t2\treturned\t4\trefused\t12",
                "9\t8\t2\tinvoked\t5\tstatus\t\(id)", "9\t9\t2\treturned\t5\tobserved\tpending\t1\t-",
                "9\t9\t0\tstopped\tpowerCut", "9\t9\t0\tdumpBegan\t0",
                "9\t9\t0\tdumped\t\(id)\t1\t7\tpending\t1\t-\t9\t-", "9\t9\t0\tcounted\t-\t0\t0\t1\t0\t0\t0\t0\t0",
                "9\t9\t0\tdumpEnded", "9\t9\t0\tdrained", "9\t9\t0\torderBegan", "9\t9\t0\torderEnded",
                "9\t9\t2\tinvoked\t6\tcomplete\t\(id)\t5\t8", "9\t9\t2\treturned\t6\tunknown",
                "9\t9\t2\tinvoked\t7\tredrive\t\(id)", "9\t9\t2\tinvoked\t8\trelease\t\(id)\t5\t0",
                "9\t9\t2\tsessionEnded",
                "9\t9\t0\tclock",
            ]
            return [Array((lines.joined(separator: "\n") + "\n").utf8)] + lines.map { Array("\($0)\n".utf8) }
        },
        run: { bytes in
            guard let events = try? Event.events(in: bytes) else { return }
            var lines: [UInt8] = []
            for event in events { event.appendLine(to: &lines) }
            expectEqual(try? Event.events(in: lines), events, "A history is read as another one.")
            _ = Checker.violations(in: events)
        }
    )
}
