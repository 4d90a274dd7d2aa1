import TQModel
import Testing

@Suite("Retry policies")
struct RetryPolicyTests {
    @Test(
        "A policy reads as what it says, with what is left out filled in",
        arguments: [
            ("exponential", RetryPolicy.standard),
            ("exponential,first=5s,factor=2,longest=1h,jitter=full", .standard),
            (
                "exponential,jitter=none,factor=1.05,first=250ms",
                RetryPolicy(.exponential(first: 250, factorPercent: 105, longest: 3_600_000), isJittered: false)
            ),
            ("exponential,factor=1.5", RetryPolicy(.exponential(first: 5_000, factorPercent: 150, longest: 3_600_000))),
            ("linear", RetryPolicy(.linear(first: 5_000, step: 10_000, longest: 3_600_000))),
            ("linear,step=0s", RetryPolicy(.linear(first: 5_000, step: 0, longest: 3_600_000))),
            ("fixed,30", RetryPolicy(.fixed(30_000))),
            ("fixed,1h30m,jitter=full", RetryPolicy(.fixed(5_400_000), isJittered: true)),
            ("list,1s,0s,7d", RetryPolicy(.list([1_000, 0, 604_800_000]))),
        ]
    )
    func reads(text: String, policy: RetryPolicy) throws {
        #expect(try RetryPolicy(text.utf8) == policy)
        #expect(try RetryPolicy(policy.description.utf8) == policy)
    }

    @Test(
        "What is no policy is refused with the part that is wrong and what is allowed",
        arguments: [
            ("", "exponential, linear, fixed or list"), ("sometimes", "exponential, linear, fixed or list"),
            ("fixed", "it has 0 waits; use 1"), ("fixed,1s,2s", "it has 2 waits; use 1"),
            ("fixed,soon", "'soon' is no time"), ("fixed,-1s", "'-1s' is no time"), ("fixed,367d", "at most 366d"),
            ("list", "it has 0 waits; use 1 to 32"), ("list,1s,", "'' is no time"),
            ("linear,factor=2", "'factor=2' does not belong there"), ("linear,first=1s,first=2s", "stands there twice"),
            ("exponential,factor=0.5", "use 1 to 100"), ("exponential,factor=101", "use 1 to 100"),
            ("exponential,factor=100.01", "use 1 to 100"), ("exponential,factor=1.234", "use 1 to 100"),
            ("exponential,factor=", "use 1 to 100"), ("exponential,jitter=some", "use full or none"),
            ("list" + String(repeating: ",1s", count: 33), "it has 33 waits"),
            ("list" + String(repeating: ",59s", count: 70), "limit of 255"),
            ("list" + String(repeating: ",59999ms", count: 28), "written out it is over the limit of 255"),
            ("fixed,\u{0}", "is no time"),
        ]
    )
    func refuses(text: String, sentence: String) {
        let error = #expect(throws: TQError.self) { try RetryPolicy(text.utf8) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
    }

    @Test("No wait is shorter than the shortest or longer than the longest")
    func bounds() {
        var random = SplitMix64(seed: 9)
        for growth in [
            .exponential(first: 100, factorPercent: 300, longest: 5_000), .linear(first: 100, step: 50, longest: 900),
            .fixed(70), .list([3, 900, 20]),
        ] as [RetryPolicy.Growth] {
            for isJittered in [true, false] {
                let policy = RetryPolicy(growth, isJittered: isJittered)
                for retry in 1...20 {
                    let wait = policy.wait(before: retry, using: &random)
                    #expect(wait >= policy.shortestWait && wait <= policy.longestWait(before: retry))
                    #expect(isJittered || wait == policy.longestWait(before: retry))
                }
            }
        }
    }
}

@Suite("Spans of time as text")
struct DurationTextTests {
    @Test(
        "A span is written with the units that it needs",
        arguments: [(0, "0s"), (999, "999ms"), (1_500, "1s500ms"), (5_400_000, "1h30m"), (691_200_000, "8d")]
            as [(UInt64, String)]
    )
    func text(milliseconds: UInt64, text: String) {
        #expect(DurationText.text(milliseconds: milliseconds) == text)
        #expect(DurationText.milliseconds(text.utf8) == milliseconds)
    }
}
