public import KafkaModel

/// One message that the ledger is told of, with its group.
public struct ArrivedMessage: Sendable {
    public var offset: Offset
    /// Milliseconds since 1970 from which it may be received: its time plus its delay; 0: at once.
    public var visibleAtMs: Int64
    /// The digest of its MessageGroupId. With `fair`, messages without one make a group of their own.
    public var group: NameDigest

    public init(offset: Offset, visibleAtMs: Int64 = 0, group: NameDigest = NameDigest(high: 0, low: 0)) {
        self.offset = offset
        self.visibleAtMs = visibleAtMs
        self.group = group
    }
}

/// How the ledger learns of messages: from their log, when they are appended and when it is loaded. Offsets that are
/// left out hold no message.
extension DeliveryLedger {
    /// Tells of messages with the same delay and without groups: their records are committed. In ascending order; while
    /// loading also of those that are ended, which are known.
    public mutating func arrive(_ range: OffsetRange, visibleAtMs: Int64 = 0, nowMs: Int64) {
        precondition(range.last < OffsetRange.maxOffset, "a message at offset \(range.last.rawValue)")
        let (first, behind) = (range.first.rawValue, range.last.rawValue + 1)
        if phase == .active {
            precondition(first >= end, "offset \(first) came after \(end - 1)")
            meter.look(nowMs, end: end)
        }
        let parts = fresh.map { $0.overlap(with: first..<behind) } ?? [max(first, start)..<max(behind, start)]
        for part in parts where !part.isEmpty { put(part, visibleAtMs, nowMs) }
        end = max(end, behind)
    }

    /// Tells that all below `behind` was told: offsets that were left out hold no message, such as the records of an aborted transaction.
    public mutating func arrived(below behind: Offset) {
        requireActive()
        precondition(behind <= OffsetRange.maxOffset, "a message at offset \(behind.rawValue - 1)")
        end = max(end, behind.rawValue)
    }

    private mutating func put(_ part: Range<Int64>, _ visibleAtMs: Int64, _ nowMs: Int64) {
        let free = part.clamped(to: part.lowerBound..<max(holdFrom, part.lowerBound))
        if !free.isEmpty {
            backlog.append(free.lowerBound, end: free.upperBound, visibleAtMs: visibleAtMs, nowMs: nowMs)
        }
        if free.upperBound < part.upperBound {
            held.append(
                max(free.upperBound, part.lowerBound), end: part.upperBound, visibleAtMs: visibleAtMs, nowMs: nowMs)
        }
    }

    /// Tells of one message with its group; see the other `arrive`. Only `fair` and `fifo` look at groups.
    public mutating func arrive(_ message: ArrivedMessage, nowMs: Int64) {
        if settings.order == .standard {
            return arrive(OffsetRange(message.offset), visibleAtMs: message.visibleAtMs, nowMs: nowMs)
        }
        let offset = message.offset.rawValue
        if phase == .loading, let slot = slots.slot(of: offset) {
            if slots.groups[Int(slot)] == MessageGroups.none { slots.groups[Int(slot)] = groups.join(message.group) }
            end = max(end, offset + 1)
            return
        }
        let isFresh = fresh?.contains(offset) ?? (offset >= start)
        guard isFresh, backlog.isEmpty, offset < holdFrom, slots.count < settings.maxIndexed else {
            return arrive(OffsetRange(message.offset), visibleAtMs: message.visibleAtMs, nowMs: nowMs)
        }
        precondition(phase == .loading || offset >= end, "offset \(offset) came after \(end - 1)")
        if phase == .active { meter.look(nowMs, end: end) }
        end = max(end, offset + 1)
        index(message, nowMs: nowMs)
    }

    /// Gives a message that was never received a slot, and its place in its group.
    private mutating func index(_ message: ArrivedMessage, nowMs: Int64) {
        let slot = slots.insert(message.offset.rawValue)
        slots.groups[Int(slot)] = groups.join(message.group)
        if message.visibleAtMs <= nowMs {
            move(slot, to: .available)
        } else {
            move(slot, to: .delayed, deadlineMs: message.visibleAtMs)
        }
    }

    // MARK: Groups of a deep backlog

    /// The messages whose groups the ledger wants to know next: the caller reads them from the log, and hands them to
    /// `index`. Nil: none, now. Until then they wait, in their order, behind those that it knows.
    public var rangeToIndex: OffsetRange? {
        guard phase == .active, settings.order != .standard, let first = backlog.firstOffset else { return nil }
        let room = settings.maxIndexed - slots.count
        guard room > 0, room * 2 >= settings.maxIndexed else { return nil }
        let last = min(first + Int64(room) - 1, (held.firstOffset ?? end) - 1)
        return OffsetRange(Offset(first), Offset(last))
    }

    /// Takes the messages of the front of `rangeToIndex`, in ascending order. Offsets up to `last` that are not among
    /// them hold no message.
    public mutating func index(_ messages: [ArrivedMessage], through last: Offset, nowMs: Int64) {
        requireActive()
        for message in messages {
            precondition(message.offset <= last, "offset \(message.offset.rawValue) is beyond \(last.rawValue)")
            guard slots.count < settings.maxIndexed else { return }
            ended += backlog.take(0, end: message.offset.rawValue)
            guard backlog.firstOffset == message.offset.rawValue, let first = backlog.takeFirst() else { continue }
            index(
                ArrivedMessage(offset: message.offset, visibleAtMs: first.visibleAtMs, group: message.group),
                nowMs: nowMs)
        }
        ended += backlog.take(0, end: last.rawValue + 1)
    }

    /// What has to be read from the log, and told by `arrive`, before `finishLoading`: all that is not ended, below the
    /// end of the log. Without groups those that were given out need not be read, and what has neither a delay nor a
    /// gap can be told unread.
    public func rangesToRead(logEndOffset: Offset) -> [OffsetRange] {
        precondition(phase == .loading, "a ledger that is \(phase) was asked what to read")
        var ranges = fresh!.overlap(with: 0..<max(logEndOffset.rawValue, 0))
            .map { OffsetRange(Offset($0.lowerBound), Offset($0.upperBound - 1)) }
        if settings.order != .standard {
            ranges += OffsetRange.covering(slots.occupied.map { slots.offsets[Int($0)] })
        }
        return ranges.sorted { $0.first < $1.first }
    }

    /// Of `rangesToRead` those that have state, whose groups the ledger does not know: the others may be told unread where their
    /// delays and gaps are known, and are indexed when their turn comes (`rangeToIndex`). Only while loading.
    public var rangesToGroup: [OffsetRange] {
        settings.order == .standard ? [] : OffsetRange.covering(slots.occupied.map { slots.offsets[Int($0)] })
    }

    // MARK: Messages that may not be given yet

    /// Lets messages below `offset` be given out; those at it and behind it that are told from now on, or were held
    /// before, wait until it is moved on. For records behind the last stable offset, or of a queue that is to rest.
    public mutating func hold(from offset: Offset, nowMs: Int64) {
        holdFrom = max(min(offset, OffsetRange.maxOffset).rawValue, 0)
        for run in held.all where run.first < holdFrom {
            backlog.append(
                run.first, end: min(run.end, holdFrom), visibleAtMs: max(run.visibleAtMs, 0), nowMs: nowMs)
        }
        _ = held.take(0, end: holdFrom)
    }
}
