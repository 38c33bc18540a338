import Testing

@testable import LogStorage

@Suite struct ReadMarksTests {
    @Test func aReaderFindsWhereTheLastOneStopped() {
        var marks = ReadMarks()
        marks.record(10, at: 700)
        #expect(marks.position(of: 10) == 700)
        #expect(marks.position(of: 9) == nil)
    }

    @Test func theOldestMarkIsForgotten() {
        var marks = ReadMarks()
        for offset in 0...Int64(ReadMarks.capacity) { marks.record(offset, at: offset * 100) }
        #expect(marks.position(of: 0) == nil)
        for offset in 1...Int64(ReadMarks.capacity) { #expect(marks.position(of: offset) == offset * 100) }
        marks.record(1, at: 100)
        #expect(marks.position(of: 2) == 200)
    }
}
