import Glibc

/// A repeatable source of random numbers: xoshiro256**, its state filled from the seed by splitmix64. The same seed
/// gives the same numbers on every machine.
///
/// Source: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", 2018.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    public let seed: UInt64
    private var s0: UInt64, s1: UInt64, s2: UInt64, s3: UInt64

    public init(seed: UInt64) {
        self.seed = seed
        var state = seed
        func splitmix() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z &>> 31)
        }
        s0 = splitmix()
        s1 = splitmix()
        s2 = splitmix()
        s3 = splitmix()
    }

    public mutating func next() -> UInt64 {
        let scaled = s1 &* 5
        let result = ((scaled &<< 7) | (scaled &>> 57)) &* 9
        let shifted = s1 &<< 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = (s3 &<< 45) | (s3 &>> 19)
        return result
    }

    /// A number from 0 to `bound` - 1.
    public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    public mutating func number(in range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    /// True with this probability: never at 0, always at 1.
    public mutating func chance(_ probability: Double) -> Bool { Double.random(in: 0..<1, using: &self) < probability }
    public mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }
    public mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            for start in stride(from: 0, to: count, by: 8) {
                withUnsafeBytes(of: next().littleEndian) { word in
                    let part = UnsafeRawBufferPointer(rebasing: word[..<min(8, count - start)])
                    UnsafeMutableRawBufferPointer(rebasing: memory[start...]).copyMemory(from: part)
                }
            }
            initialized = count
        }
    }
    /// A generator of its own, so that what one part of a test draws does not shift the numbers of another.
    public mutating func fork() -> SeededRandom { SeededRandom(seed: next()) }
}

/// The seeds a randomised test runs with: 1 to `count`, or the single one that the environment variable
/// `MILLRACE_SEED` names, to replay a failure. As the arguments of a test they are printed when it fails.
public func testSeeds(_ count: Int) -> [UInt64] {
    if let text = getenv("MILLRACE_SEED"), let seed = UInt64(String(cString: text)) { return [seed] }
    return (1...UInt64(max(count, 1))).map { $0 }
}
