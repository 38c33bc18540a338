extension RequestHead {
    /// Parses the head that starts at the first of `bytes`, which may hold less than the head or much more.
    ///
    /// `progress` belongs to the connection; it is reset when the outcome is final.
    public mutating func parse(_ bytes: UnsafeRawBufferPointer, _ progress: inout HeadProgress) -> HeadOutcome {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return .incomplete }
        if progress.parsed > 0, !isWorthParsing(start, bytes.count, &progress) { return .incomplete }
        let outcome = parse(start, count: bytes.count)
        if case .incomplete = outcome {
            progress.parsed = bytes.count
        } else {
            progress = HeadProgress()
        }
        return outcome
    }

    /// Whether an empty line has arrived since the last time, or so much that the beginning deserves another look.
    private func isWorthParsing(_ start: UnsafeRawPointer, _ count: Int, _ progress: inout HeadProgress) -> Bool {
        if count > progress.parsed + progress.parsed / 2 || count > limits.head { return true }
        // An end that straddles the seam begins at most three bytes before it.
        var at = max(0, max(progress.searched, 3) - 3)
        while true {
            at = ByteScan.find(UInt8(ascii: "\n"), start, from: at, end: count)
            if at == count { break }
            let next = at + 1
            if next < count, ByteScan.byte(start, next) == UInt8(ascii: "\n") { return true }
            if next + 1 < count, ByteScan.byte(start, next) == UInt8(ascii: "\r"),
                ByteScan.byte(start, next + 1) == UInt8(ascii: "\n")
            {
                return true
            }
            at = next
        }
        progress.searched = count
        return false
    }

    private mutating func parse(_ start: UnsafeRawPointer, count: Int) -> HeadOutcome {
        base = start
        var at = 0
        // RFC 9112, 2.2: one empty line before a request is forgiven (old clients end a body with it).
        if ByteScan.byte(start, 0) == UInt8(ascii: "\r") {
            if count < 2 { return .incomplete }
            guard ByteScan.byte(start, 1) == UInt8(ascii: "\n") else { return .failure(.badLineEnd) }
            at = 2
        }
        switch parseRequestLine(start, &at, count) {
        case .done: break
        case .more: return .incomplete
        case .failed(let failure): return .failure(failure)
        }
        switch parseFields(start, &at, count) {
        case .done: break
        case .more: return .incomplete
        case .failed(let failure): return .failure(failure)
        }
        if let failure = interpret() { return .failure(failure) }
        return .complete(length: at)
    }

    enum Step {
        case done
        case more
        case failed(HTTPFailure)
    }

    // MARK: Request line

    private mutating func parseRequestLine(_ start: UnsafeRawPointer, _ at: inout Int, _ count: Int) -> Step {
        let lineStart = at
        // One byte further than the limit, to tell "too long" from "not yet there".
        let end = min(count, lineStart &+ limits.requestLine &+ 1)
        let cut: Step = count > end ? .failed(.requestLineTooLong) : .more

        let methodEnd = ByteScan.findNonVisible(start, from: at, end: min(end, at &+ 24))
        if methodEnd == end {
            return ByteScan.isToken(start, from: at, end: end) || at == end ? cut : .failed(.badRequestLine)
        }
        guard ByteScan.byte(start, methodEnd) == 0x20, ByteScan.isToken(start, from: at, end: methodEnd) else {
            return .failed(.badRequestLine)
        }
        let method = Self.method(start, at, methodEnd &- at)

        let targetStart = methodEnd &+ 1
        let targetEnd = ByteScan.findNonVisible(start, from: targetStart, end: end)
        if targetEnd == end { return cut }
        guard ByteScan.byte(start, targetEnd) == 0x20, targetEnd > targetStart else { return .failed(.badRequestLine) }

        // "HTTP/1.1" CR LF
        let version = targetEnd &+ 1
        if version &+ 10 > count {
            let control = ByteScan.findControl(start, from: version, end: end)
            if control == end || control == version &+ 8 && ByteScan.byte(start, control) == UInt8(ascii: "\r") {
                return cut
            }
            return .failed(control == version &+ 8 ? .badLineEnd : .badRequestLine)
        }
        guard version &+ 8 &- lineStart <= limits.requestLine else { return .failed(.requestLineTooLong) }
        let word = ByteScan.word(start, version)
        // "HTTP/1.0" and "HTTP/1.1" as little-endian words.
        switch word {
        case 0x312e_312f_5054_5448: minorVersion = 1
        case 0x302e_312f_5054_5448: minorVersion = 0
        default:
            // "HTTP/", a digit, a dot, a digit.
            let (major, minor) = (UInt8(truncatingIfNeeded: word &>> 40), UInt8(truncatingIfNeeded: word &>> 56))
            guard word & 0x00ff_00ff_ffff_ffff == 0x002e_002f_5054_5448, major &- UInt8(ascii: "0") <= 9,
                minor &- UInt8(ascii: "0") <= 9
            else { return .failed(.badRequestLine) }
            // RFC 9110, 2.5: of a higher minor version what 1.1 has is understood, and answered as 1.1.
            guard major == UInt8(ascii: "1") else { return .failed(.unsupportedVersion) }
            minorVersion = 1
        }
        guard ByteScan.byte(start, version &+ 8) == UInt8(ascii: "\r"),
            ByteScan.byte(start, version &+ 9) == UInt8(ascii: "\n")
        else { return .failed(.badLineEnd) }
        at = version &+ 10

        guard let method else { return .failed(.unsupportedMethod) }
        self.method = method
        return parseTarget(start, targetStart, targetEnd) ? .done : .failed(.badTarget)
    }

    @inline(__always)
    static func method(_ start: UnsafeRawPointer, _ at: Int, _ length: Int) -> HTTPMethod? {
        guard length >= 3, length <= 7 else { return nil }
        var word: UInt64 = 0
        for index in 0..<length { word |= UInt64(ByteScan.byte(start, at &+ index)) &<< UInt64(index &* 8) }
        // The names as little-endian words.
        return switch word {
        case 0x5453_4f50: .post
        case 0x54_4547: .get
        case 0x54_5550: .put
        case 0x4441_4548: .head
        case 0x48_4354_4150: .patch
        case 0x4554_454c_4544: .delete
        case 0x53_4e4f_4954_504f: .options
        case 0x45_4341_5254: .trace
        default: nil
        }
    }

    /// Origin form, absolute form (whose authority then counts, whatever Host says), or `*` for OPTIONS.
    mutating func parseTarget(_ start: UnsafeRawPointer, _ from: Int, _ end: Int) -> Bool {
        var pathFrom = from
        authorityStart = 0
        authorityCount = 0
        if ByteScan.byte(start, from) != UInt8(ascii: "/") {
            if end &- from == 1, ByteScan.byte(start, from) == UInt8(ascii: "*"), method == .options {
                (pathStart, pathCount, queryStart, queryCount) = (from, 1, end, 0)
                return true
            }
            guard let authorityFrom = Self.schemeEnd(start, from, end) else { return false }
            pathFrom = authorityFrom
            while pathFrom < end {
                let byte = ByteScan.byte(start, pathFrom)
                if byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") { break }
                pathFrom &+= 1
            }
            guard pathFrom > authorityFrom, Self.isAuthority(start, authorityFrom, pathFrom) else { return false }
            (authorityStart, authorityCount) = (authorityFrom, pathFrom &- authorityFrom)
        }
        // A fragment never leaves a client; a backslash is a slash to some readers and not to others.
        var pathEnd = end
        var at = pathFrom
        while at < end {
            let byte = ByteScan.byte(start, at)
            if byte == UInt8(ascii: "#") || byte == UInt8(ascii: "\\") { return false }
            if byte == UInt8(ascii: "?"), pathEnd == end { pathEnd = at }
            at &+= 1
        }
        (pathStart, pathCount) = (pathFrom, pathEnd &- pathFrom)
        queryStart = min(pathEnd &+ 1, end)
        queryCount = end &- queryStart
        return true
    }

    /// Returns the position after `http://` or `https://`.
    private static func schemeEnd(_ start: UnsafeRawPointer, _ from: Int, _ end: Int) -> Int? {
        func matches(_ text: StaticString) -> Bool {
            guard end &- from > text.utf8CodeUnitCount else { return false }
            for index in 0..<text.utf8CodeUnitCount
            where ByteScan.byte(start, from &+ index) | 0x20 != text.utf8Start[index] | 0x20 {
                return false
            }
            return true
        }
        if matches("http://") { return from &+ 7 }
        if matches("https://") { return from &+ 8 }
        return nil
    }

    /// Host and optional port: letters, digits, `-._~%!$&'()*+;=:` and brackets. No userinfo, no list, no path.
    static func isAuthority(_ start: UnsafeRawPointer, _ from: Int, _ end: Int) -> Bool {
        var at = from
        while at < end {
            switch ByteScan.byte(start, at) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "%"), UInt8(ascii: "!"),
                UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"),
                UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ";"), UInt8(ascii: "="):
                at &+= 1
            default: return false
            }
        }
        return true
    }

    // MARK: Fields

    private mutating func parseFields(_ start: UnsafeRawPointer, _ position: inout Int, _ count: Int) -> Step {
        known.update(repeating: 0, count: KnownField.allCases.count)
        var fields = 0
        var present: UInt32 = 0
        var at = position
        let blockEnd = at &+ limits.fieldBlock
        while true {
            if at >= count { return at > blockEnd ? .failed(.fieldBlockTooLong) : .more }
            if ByteScan.byte(start, at) == UInt8(ascii: "\r") {
                if at &+ 1 >= count { return .more }
                guard ByteScan.byte(start, at &+ 1) == UInt8(ascii: "\n") else { return .failed(.badLineEnd) }
                break
            }
            guard fields < limits.fields else { return .failed(.tooManyFields) }
            let end = min(count, at &+ limits.fieldLine &+ 1)

            let colon = ByteScan.find(UInt8(ascii: ":"), start, from: at, end: end)
            let field = colon < end ? table.find(start, at, colon &- at, end: count) : nil
            // The name of a known field is a token; any other is looked at byte by byte.
            if field == nil {
                if let failure = Self.nameFailure(start, at, colon) { return .failed(failure) }
                if colon == end {
                    if end < count { return .failed(.fieldLineTooLong) }
                    return end > blockEnd ? .failed(.fieldBlockTooLong) : .more
                }
            }

            var valueStart = colon &+ 1
            if valueStart < end, ByteScan.byte(start, valueStart) == 0x20 { valueStart &+= 1 }
            var stop = ByteScan.findControl(start, from: valueStart, end: end)
            while stop < end, ByteScan.byte(start, stop) == 0x09 {
                stop = ByteScan.findControl(start, from: stop &+ 1, end: end)
            }
            if stop == end {
                if end < count { return .failed(.fieldLineTooLong) }
                return end > blockEnd ? .failed(.fieldBlockTooLong) : .more
            }
            switch ByteScan.byte(start, stop) {
            case UInt8(ascii: "\r"): break
            case UInt8(ascii: "\n"): return .failed(.badLineEnd)
            default: return .failed(.badFieldValue)
            }
            if stop &- at > limits.fieldLine { return .failed(.fieldLineTooLong) }
            if stop &+ 1 >= count { return .more }
            // A lone CR would end the line for some readers.
            guard ByteScan.byte(start, stop &+ 1) == UInt8(ascii: "\n") else { return .failed(.badFieldValue) }
            let next = stop &+ 2
            if next > blockEnd { return .failed(.fieldBlockTooLong) }

            var valueEnd = stop
            while valueStart < valueEnd, Self.isBlank(ByteScan.byte(start, valueStart)) { valueStart &+= 1 }
            while valueEnd > valueStart, Self.isBlank(ByteScan.byte(start, valueEnd &- 1)) { valueEnd &-= 1 }

            // Positions fit: a head is at most `limits.head` bytes, which `init` checked.
            entries[fields] = FieldEntry(
                nameStart: UInt16(truncatingIfNeeded: at), nameCount: UInt16(truncatingIfNeeded: colon &- at),
                valueStart: UInt16(truncatingIfNeeded: valueStart),
                valueCount: UInt16(truncatingIfNeeded: valueEnd &- valueStart))
            fields &+= 1
            if let field {
                present |= 1 &<< UInt32(field.rawValue)
                let slot = known + Int(field.rawValue)
                if slot.pointee == 0 {
                    slot.pointee = UInt8(truncatingIfNeeded: fields)
                } else if field.isSingleton {
                    return .failed(field == .contentLength ? .duplicateContentLength : .duplicateField)
                }
            }
            at = next
        }
        fieldCount = fields
        self.present = KnownFields(rawValue: present)
        position = at &+ 2
        return .done
    }

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// Returns what is wrong with the name at `from..<end`, said as precisely as the attack deserves.
    private static func nameFailure(_ start: UnsafeRawPointer, _ from: Int, _ end: Int) -> HTTPFailure? {
        if from < end, isBlank(ByteScan.byte(start, from)) { return .foldedField }
        var at = from
        while at < end, ByteScan.isTokenByte(ByteScan.byte(start, at)) { at &+= 1 }
        if at == end { return from < end ? nil : .badFieldName }
        return ByteScan.byte(start, at) == UInt8(ascii: "\n") ? .badLineEnd : .badFieldName
    }
}
