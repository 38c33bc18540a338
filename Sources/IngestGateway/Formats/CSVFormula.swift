import HTTPWire

/// Cells that a spreadsheet would take for a formula when the text is opened there: they are told of, and not changed. A number with
/// its sign is none.
enum CSVFormula {
    /// Of those below 64, a bit each: `=`, `+`, `-`, and a tab and a CR, which spreadsheets pass over.
    private static let low: UInt64 = 1 << 0x3d | 1 << 0x2b | 1 << 0x2d | 1 << 0x09 | 1 << 0x0d

    /// Whether a formula may begin so. False of nearly all cells.
    @inline(__always)
    static func mayBegin(with byte: UInt8) -> Bool {
        byte < 64 ? low &>> UInt64(byte) & 1 != 0 : byte == 0x40
    }

    static func isOne(_ cell: UnsafeRawBufferPointer) -> Bool {
        guard let first = cell.first, mayBegin(with: first) else { return false }
        guard first == 0x2b || first == 0x2d else { return true }
        let number = UnsafeRawBufferPointer(rebasing: cell[1...])
        guard let base = number.baseAddress, !number.isEmpty else { return false }
        return JSONScan.number(base, 0, number.count) != number.count
    }
}
