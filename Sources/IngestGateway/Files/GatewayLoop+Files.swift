import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import LogStorage
import RecordFormat

/// A window of a file, on a worker: its rows go to the topic as those of any body in windows do, and what does not to the quarantine.
extension GatewayLoop {
    /// Takes the next windows of a file, up to one of which something is appended.
    func handleFile(_ upload: FileUpload, of body: WindowedBody) -> WindowedBody.Outcome {
        (window, topicRefusal) = (body, body.topicRefusal)
        defer { (window, topicRefusal) = (nil, nil) }
        // What the server itself has asked for, or has found, counts with nobody's quota.
        if !upload.isPull, upload.source == nil { countPiece(of: body) }
        upload.isOnDisk()
        var count = 0
        while !body.isOver {
            if upload.job?.isCancelled == true {
                body.stop(Problem(.jobCancelled, "The job was cancelled."))
                break
            }
            if count == WindowedBody.windowsOfJob || body.isGivenUp { return .more }
            count += 1
            guard let (text, isLast) = body.nextWindow() else { break }
            if !upload.isReady, let outcome = begin(upload, body, isEmpty: text.isEmpty) { return outcome }
            if body.isOver { break }
            // Of the windows before in this call nothing was appended.
            upload.isOnDisk()
            switch takeRows(of: text, isLast: isLast, upload, body) {
            case .failure(let suspended): return .suspended(suspended.work)
            case .success(let commits): if !commits.isEmpty { return .appended(commits) }
            }
        }
        guard body.isOver else { return .starved }
        return upload.isPull ? .over : end(upload, body)
    }

    /// Makes ready what a file needs. nil: it is, or the body is over.
    private func begin(_ upload: FileUpload, _ body: WindowedBody, isEmpty: Bool) -> WindowedBody.Outcome? {
        if isEmpty {
            body.stop(upload.source == nil ? bodyRequired() : Problem(.bodyRequired, "The file is empty."))
            return nil
        }
        if let problem = upload.chooseFormat() {
            body.stop(problem)
            return nil
        }
        switch upload.format {
        case .csv: body.format = .csv(CSVEvents(upload.plan.csv, upload.plan.schema))
        case .array: body.format = .array(JSONElements())
        case .lines, nil: body.format = .lines
        }
        let name = Array(upload.topic.utf8)
        switch name.withUnsafeBytes({ topicForAppend($0) }) {
        case .unready(let work): return .suspended(work)
        case .refused(let problem):
            body.stop(problem)
            return nil
        case .found(let topic):
            if let problem = upload.choosePartition(of: topic, body) {
                body.stop(problem)
                return nil
            }
        }
        if !broker.jobs.isOpen { return .suspended(FileTopicWork(.jobs, broker)) }
        upload.isReady = true
        if upload.job != nil { return nil }
        do throws(JobRefusal) {
            let (job, commits) = try broker.jobs.begin(upload.newJob(floors(of: upload), nowMs: BrokerClock.wallMs()))
            upload.didBegin(job, commits)
            return .appended(commits)
        } catch {
            body.stop(Problem(error))
            return nil
        }
    }

    /// Where the topics of a file end now.
    private func floors(of upload: FileUpload) -> JobFloors {
        broker.jobs.floors(topic: upload.topic, quarantine: upload.quarantine)
    }

    /// Something that a window waits for.
    private struct Suspended: Error {
        let work: any ExchangeWork
    }

    /// Takes a window. Gives the commits of what was appended.
    private func takeRows(
        of text: UnsafeRawBufferPointer, isLast: Bool, _ upload: FileUpload, _ body: WindowedBody
    ) -> Result<CommitSpan, Suspended> {
        let format = body.format
        body.beginWindow()
        (windowUsed, windowIsLast, windowProblem) = (0, isLast, nil)
        upload.rows.places.removeAll(keepingCapacity: true)
        // Until all that was stored before is met the job's own floors hold, and what they are for.
        let isMet = upload.stored?.isMet ?? true
        let (floors, before) = (floors(of: upload), body.tally.accepted)
        var commits = CommitSpan()
        switch postRouted(text, .many(.partial, ResultsWanted.none)) {
        case .suspended(.work(let work)):
            body.format = format
            return .failure(Suspended(work: work))
        case .suspended: preconditionFailure("a window that waits for what no window waits for")
        case .answered: if body.isOver { return .success(commits) }
        case .gated(let appended, _): commits = appended
        }
        let kept = quarantineRows(of: text, upload, body, &commits)
        let isWhole = !body.isOver
        let line = isWhole ? lastLine(of: text, upload, body) : nil
        if !commits.isEmpty, isMet, !upload.isPull, let job = upload.job {
            do throws(JobRefusal) {
                commits.add(try broker.jobs.progress(of: job, upload.progress, floors))
            } catch {
                body.stop(Problem(error))
            }
        }
        upload.didAppend(
            accepted: body.tally.accepted - before + upload.takeMet(), rejected: kept.rows, count: kept.count,
            bytes: windowUsed, line: line, commits)
        endWindow(of: body, isLast)
        return .success(commits)
    }

    /// The last line of what was taken of the window.
    private func lastLine(of text: UnsafeRawBufferPointer, _ upload: FileUpload, _ body: WindowedBody) -> Int {
        let taken = UnsafeRawBufferPointer(rebasing: text[..<windowUsed])
        // The file's last one need not end.
        let open = taken.isEmpty || taken.last == 0x0a || taken.last == 0x0d ? 0 : 1
        switch body.format {
        case .csv(let reader): return reader.linesTaken + open
        case .array(let reader): return reader.lastLine
        case .lines: return upload.line + CSVEvents.lines(of: taken) + (taken.last == 0x0d ? 1 : open)
        }
    }

    /// Ends the job of a file whose windows are over, and all of which is on disk.
    private func end(_ upload: FileUpload, _ body: WindowedBody) -> WindowedBody.Outcome {
        guard upload.job != nil, !upload.isEnded else {
            upload.didEnd()
            return .over
        }
        if let problem = body.problem, problem.kind.isRetryable, upload.source != nil {
            // The file is there, and is taken up again.
            upload.leave()
            return .over
        }
        if upload.stored?.isMet == false {
            // Its topics are counted, as it has not come to what they have.
            upload.settle(upload.end(body.problem))
            return .over
        }
        // Windows of which nothing was appended are counted, too.
        upload.isOnDisk()
        do throws(JobRefusal) {
            let commits = try broker.jobs.end(upload.end(body.problem), upload.progress)
            upload.didEnd()
            return .appended(commits)
        } catch {
            // It is ended when its log works again.
            upload.settle(upload.end(body.problem))
            return .over
        }
    }

    // MARK: The quarantine

    /// What is to be made first of the quarantine, where the window at hand has rows for it; nil: it is there.
    func quarantineWork() -> (any ExchangeWork)? {
        guard let upload = window?.upload, !rejections.isEmpty, broker.catalog.topic(named: upload.quarantine) == nil
        else { return nil }
        return FileTopicWork(.quarantine(upload.quarantine), broker)
    }

    /// Appends the window's rows that are not acceptable to the quarantine. Gives how many were, and the first of them.
    private func quarantineRows(
        of text: UnsafeRawBufferPointer, _ upload: FileUpload, _ body: WindowedBody, _ commits: inout CommitSpan
    ) -> (count: Int, rows: [RejectedRow]) {
        guard !rejections.isEmpty else { return (0, []) }
        guard let topic = broker.catalog.topic(named: upload.quarantine), !topic.isInternal else {
            body.stop(
                Problem(.topicNotFound, "The quarantine \(upload.quarantine) is not there, or the broker's own."))
            return (0, [])
        }
        let log = topic.partitions[0]
        let most = min(log.settings.maxBatchBytes, Self.preferredBatchBytes)
        var (count, inBatch) = (0, 0)
        var (rows, unsaid): ([RejectedRow], [RejectedRow]) = ([], [])
        var lines = LineCounter(text, from: JSONElements.Place(line: upload.line + 1, column: 1))
        if case .array(let reader) = body.format { lines = LineCounter(text, from: reader.start) }
        func append() -> Bool {
            if inBatch == 0 { return true }
            switch log.append(Self.finish(&builder, &packer), origin: .client, nowMs: wallClockMs) {
            case .success(let receipt):
                commits.add(receipt.ticket)
                count += inBatch
                rows += unsaid
                (inBatch, unsaid) = (0, [])
                return true
            case .failure(let refusal):
                body.stop(Self.problem(of: refusal, limit: log.settings.maxBatchBytes))
                return false
            }
        }
        builder.begin()
        for rejection in rejections {
            let known = upload.quarantined(row: body.firstIndex + rejection.index)
            if known == .counted { continue }
            let place = upload.rows.places[rejection.index]
            let row = RejectedRow(rejection, place, text, body.format, &lines)
            if known == .behind {
                count += 1
                rows.append(row)
                continue
            }
            let bytes = place.range.bytes(of: text).withoutLineEnd
            let room = log.settings.maxBatchBytes - Self.recordOverhead - Self.quarantineHeaderBytes
            let value = UnsafeRawBufferPointer(rebasing: bytes.prefix(max(0, room)))
            let headerCount = writeQuarantineHeaders(
                row, upload, cut: value.count < bytes.count ? bytes.count : nil)
            if inBatch > 0, builder.sizeInBytes + value.count + recordHeaders.count + Self.recordOverhead > most {
                guard append() else { return (count, rows) }
                builder.begin()
            }
            builder.append(
                key: nil, value: value, headers: recordHeaders.bytes, headerCount: headerCount,
                timestampMs: wallClockMs)
            inBatch += 1
            if rows.count + unsaid.count < JobLimits.mostListed { unsaid.append(row) }
        }
        _ = append()
        return (count, rows)
    }

    /// Bytes of a quarantined row's headers at most: its reason, the file's name, and less for all else.
    private static let quarantineHeaderBytes = RejectedRow.maxReasonBytes + MultipartForm.maxNameBytes + 256

    /// Into `recordHeaders`; gives their number. `cut`: the bytes of a row that is longer than its topic takes.
    private func writeQuarantineHeaders(_ row: RejectedRow, _ upload: FileUpload, cut: Int?) -> Int32 {
        recordHeaders.removeAll()
        var count: Int32 = 3
        JobMark.write(upload.id, into: &recordHeaders)
        writeHeader("line", String(row.line))
        writeHeader("reason", row.reason)
        let others: [(String, String?)] = [
            ("column", row.column.map { String($0) }), ("file", upload.fileName), ("cut", cut.map { String($0) }),
        ]
        for (name, value) in others {
            guard let value else { continue }
            writeHeader(name, value)
            count += 1
        }
        return count
    }

    // MARK: The reply

    /// Answers the request at hand, whose file is taken, or of which no more is.
    func answerFile(_ upload: FileUpload, of body: WindowedBody) {
        let (told, problem) = (upload.told, body.told.problem)
        // While a worker has it, it is settled when that is over.
        if !body.isAway, !upload.isEnded { upload.settle(upload.end(problem)) }
        if let problem {
            answer(problem, instance: head.path)
            out.truncate(to: out.count - 1)
        } else {
            reply.status = 201
            out.removeAll()
            out.text("{\"request_id\":\"")
            out.bytes(requestID)
            out.text("\"")
        }
        if told.hasJob {
            out.text(",\"job_id\":\"")
            out.utf8(upload.id.text)
            out.text("\",\"topic\":")
            JSONText.write(upload.topic, into: &out)
            JobText.write(told.progress, quarantine: upload.quarantine, into: &out)
            JobText.write(told.rejected, into: &out)
        }
        out.text("}")
    }
}

/// Counts the lines of a text up to places that ascend.
struct LineCounter {
    private let text: UnsafeRawBufferPointer
    private var at = 0
    private var place: JSONElements.Place

    /// - Parameter start: where the text begins.
    init(_ text: UnsafeRawBufferPointer, from start: JSONElements.Place) {
        self.text = text
        place = start
    }

    /// Where this byte is.
    mutating func place(of byte: Int) -> JSONElements.Place {
        place.pass(UnsafeRawBufferPointer(rebasing: text[at..<byte]))
        at = byte
        return place
    }
}

extension RejectedRow {
    fileprivate init(
        _ rejection: Rejection, _ place: RowPlaces.Place, _ text: UnsafeRawBufferPointer,
        _ format: WindowedBody.Format, _ lines: inout LineCounter
    ) {
        let reason = rejection.finding?.words ?? rejection.detail.description
        let start = Int(place.range.start)
        switch format {
        case .lines:
            let at = lines.place(of: start)
            self.init(
                line: Int64(at.line), column: rejection.position.map { Int64(at.column + $0) }, reason: reason)
        case .array:
            // An element may have many lines, and a line many elements.
            let at = lines.place(of: start + (rejection.position ?? 0))
            self.init(line: Int64(at.line), column: Int64(at.column), reason: reason)
        case .csv(let reader):
            let column = rejection.column ?? rejection.finding.flatMap { reader.column(of: $0.pointer) }
            self.init(line: Int64(place.line), column: column.map { Int64($0) }, reason: reason)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Without the end of its last line.
    fileprivate var withoutLineEnd: UnsafeRawBufferPointer {
        var end = count
        while end > 0, self[end - 1] == 0x0a || self[end - 1] == 0x0d { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: self[..<end])
    }
}
