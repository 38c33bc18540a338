import BrokerCore
import ByteBuffers
import HTTPWire
import KafkaModel
import RecordFormat
import Telemetry

/// Bodies that are taken in windows: which are, what a worker does with a window, and the reply in the end.
extension GatewayLoop {
    // MARK: Which are

    /// Whether a body of the request at hand that is longer than its route takes in one piece is taken in windows: lines and rows whose
    /// events are asked for one by one. What is to be stored whole or not at all has to be there first.
    var takesWindows: Bool {
        guard routeRow.pointee.takesWindows, signature == nil, head[.idempotencyKey] == nil else { return false }
        guard let type = mediaType(), type == .lines || type == .csv, routeRow.pointee.mediaTypes.contains(type) else {
            return false
        }
        guard case .success(.partial) = batchMode(), case .success = resultsWanted() else { return false }
        return !isBinaryCloudEvent
    }

    /// Makes the body of the request at hand one of windows. `seed`: what has come of it.
    /// `isUnpacked`: it is, and all there is.
    func windows(seed: ByteSlice? = nil, isUnpacked: Bool = false) -> Result<WindowedBody, Problem> {
        var format = WindowedBody.Format.lines
        if mediaType() == .csv, let plan = routeRow.pointee.plan { format = .csv(CSVEvents(plan.csv, plan.schema)) }
        var wanted = ResultsWanted.errors
        if case .success(let asked?) = resultsWanted() { wanted = asked }
        let coding = isUnpacked ? nil : head[.contentEncoding].flatMap { BodyCoding($0) }
        do throws(CompressionError) {
            return .success(try WindowedBody(format, coding, wanted: wanted, options, seed: seed))
        } catch {
            return .failure(Problem(.overloaded, "There is no memory to unpack the body.", retryAfter: 1))
        }
    }

    /// Refuses a request for what its body is, unless that is that it has too many events for one piece: then it is taken in windows.
    func refuseText(_ problem: Problem, of body: UnsafeRawBufferPointer) -> Completion {
        guard problem.kind.number == ProblemKind.tooManyEvents.number, window == nil, takesWindows,
            case .success(let made) = windows(seed: kept(body), isUnpacked: true)
        else { return refuseEvents(likelyCause(of: problem, body) ?? problem) }
        return .suspended(.windows(made))
    }

    /// What is wrong with a body that begins as no text does, where a byte of it would be named else; nil: nothing of that.
    private func likelyCause(of problem: Problem, _ body: UnsafeRawBufferPointer) -> Problem? {
        guard [ProblemKind.invalidJSON.number, ProblemKind.invalidUTF8.number].contains(problem.kind.number) else {
            return nil
        }
        if body.starts(with: JSONText.byteOrderMark) {
            return Problem(problem.kind, "The body begins with a byte order mark, which JSON has not: send it without.")
        }
        guard head[.contentEncoding] == nil else { return nil }
        return BodyCoding(of: body).map {
            Problem(problem.kind, "The body is packed by \($0): say so, with Content-Encoding: \($0).")
        }
    }

    /// The body of the request at hand, to be kept: a long one is kept already, and a loop's own is short enough to be copied.
    private func kept(_ body: UnsafeRawBufferPointer) -> ByteSlice {
        guard let keptBody, keptBody.bytes.baseAddress == body.baseAddress, keptBody.count == body.count else {
            return pool.slice(copying: body)
        }
        return keptBody
    }

    // MARK: A window

    /// Takes the next windows of the body of the request at hand, up to one of which something is appended; called by a worker.
    func handleWindows(of body: WindowedBody) -> WindowedBody.Outcome {
        (window, topicRefusal) = (body, body.topicRefusal)
        defer { (window, topicRefusal) = (nil, nil) }
        countPiece(of: body)
        var count = 0
        while !body.isOver {
            if count == WindowedBody.windowsOfJob || body.isGivenUp { return .more }
            count += 1
            guard let (text, isLast) = body.nextWindow() else { break }
            let format = body.format
            body.beginWindow()
            (windowUsed, windowIsLast, windowProblem) = (0, isLast, nil)
            var completion = routeRow.pointee.endpoint.handle(text, on: self)
            if claim.isOfEvents { completion = settleEvents(completion) }
            switch completion {
            case .suspended(.work(let work)):
                body.format = format
                return .suspended(work)
            case .suspended: preconditionFailure("a window that waits for what no window waits for")
            case .answered: endWindow(of: body, isLast)
            case .gated(let commits, _):
                endWindow(of: body, isLast)
                return .appended(commits)
            }
        }
        return body.isOver ? .over : .starved
    }

    func endWindow(of body: WindowedBody, _ isLast: Bool) {
        // The rows before what is wrong are stored, wherever windows end. First, for a text that is used up ends a body well.
        if let windowProblem { body.stop(windowProblem) }
        body.taken(windowUsed, isLast: isLast)
    }

    /// What is written here counts with what the same user writes by Kafka's protocol. He is slowed down, as there: a body cannot be
    /// refused for what has come of it.
    func countPiece(of body: WindowedBody) {
        let bytes = body.takeUncounted()
        if bytes > 0 { body.pause = countPiece(bytes) }
    }

    /// Fills `events` with the whole lines of the window, and `rejections`.
    func splitWindow(_ text: UnsafeRawBufferPointer, _ body: WindowedBody) {
        let most = mostOfWindow
        let end: Int
        defer {
            if let upload = body.upload { upload.rows.places = places(of: upload, text) }
        }
        if windowIsLast {
            end = text.count
        } else {
            guard let last = text.lastIndex(of: 0x0a) else { return }
            end = last + 1
        }
        var limits = jsonLimits
        limits.elements = most
        let whole = UnsafeRawBufferPointer(rebasing: text[..<end])
        var lines = NDJSONLines(whole, limits: limits)
        var found: [JSONRange] = []
        swap(&found, &events)
        defer { swap(&found, &events) }
        windowUsed = end
        while true {
            lines.appendSound(to: &found)
            let line = found.count > most ? found[most] : lines.next()
            guard let line else { return }
            guard found.count < most else {
                windowUsed = Int(line.start)
                found.removeLast(found.count - most)
                return
            }
            var scanner = JSONScanner(line.bytes(of: whole), limits: limits)
            do throws(JSONFailure) {
                _ = try scanner.onlyValue()
            } catch {
                rejections.append(
                    Rejection(
                        index: found.count, kind: ProblemKind(error), detail: error.detail, position: error.position))
            }
            found.append(line)
        }
    }

    /// Where the events of a window stand. Of a file lines are counted where they are asked for.
    private func places(of upload: FileUpload, _ text: UnsafeRawBufferPointer) -> [RowPlaces.Place] {
        guard upload.isPull else { return events.map { RowPlaces.Place(range: $0, line: 0) } }
        var lines = LineCounter(text, from: JSONElements.Place(line: upload.line + 1))
        return events.map { RowPlaces.Place(range: $0, line: lines.place(of: Int($0.start)).line) }
    }

    /// Fills `events` with the whole elements of the window, and `rejections`.
    func splitElements(_ text: UnsafeRawBufferPointer, _ body: WindowedBody) {
        guard case .array(var reader) = body.format else { preconditionFailure("elements of a body of lines") }
        var (found, wrong): ([JSONRange], [Rejection]) = ([], [])
        swap(&found, &events)
        let outcome = reader.read(
            text, isLast: windowIsLast, most: mostOfWindow, jsonLimits, into: &found, &wrong)
        swap(&found, &events)
        rejections = wrong
        (windowUsed, windowProblem) = (outcome.used, outcome.problem)
        body.upload?.rows.places = events.map { RowPlaces.Place(range: $0, line: 0) }
        body.format = .array(reader)
    }

    /// Makes events of the window's whole rows, in `routed.source`.
    func splitRows(_ text: UnsafeRawBufferPointer, _ body: WindowedBody) {
        guard case .csv(var reader) = body.format else { preconditionFailure("rows of a body of lines") }
        let limits = CSVEvents.Limits(
            rowBytes: options.maxEventBytes, events: mostOfWindow, madeBytes: WindowedBody.madeBytes, leavesMore: true,
            places: body.upload?.rows, isStuck: body.isStuck)
        var (found, wrong): ([JSONRange], [Rejection]) = ([], [])
        swap(&found, &events)
        let outcome = reader.read(text, isLast: windowIsLast, into: &routed.source, &found, &wrong, limits)
        swap(&found, &events)
        rejections = wrong
        windowUsed = outcome.used
        windowProblem = outcome.problem
        routed.formulas = reader.formulas
        body.format = .csv(reader)
    }

    /// A request has no more events with keys of their own, and so has a window.
    private var mostOfWindow: Int {
        let most = min(WindowedBody.maxEvents, options.maxEventsPerRequest)
        return routeRow.pointee.hasEventKeys ? min(most, gateway.idempotency.mostEvents) : most
    }

    /// Whether the topic is the one that the windows before have gone to.
    func windowMayGo(to topic: Topic, _ body: WindowedBody) -> Problem? {
        if let known = body.topicID, known != topic.id {
            return Problem(.topicNotFound, "The topic was deleted while the body came.")
        }
        body.topicID = topic.id
        return nil
    }

    // MARK: The reply

    /// Answers the request at hand, whose windows are over, or given up while a worker has one.
    func answerWindows(_ body: WindowedBody) {
        if let upload = body.upload { return answerFile(upload, of: body) }
        let (tally, problem) = body.told
        guard tally.stored > 0 else {
            return answer(
                problem ?? nothingOfWindows(body), instance: head.path, errors: body.isAway ? [] : body.rejections)
        }
        let isAll = tally.rejected == 0 && problem == nil
        reply.status = isAll ? routeRow.pointee.plan?.status ?? 201 : 207
        reply.isReplay = isAll && tally.accepted == 0
        if let problem {
            reply.code = problem.kind.code
            reply.retryAfter = problem.retryAfter ?? (problem.kind.isRetryable ? 1 : nil)
        }
        if tally.busy > 0 { reply.retryAfter = reply.retryAfter ?? 1 }
        out.removeAll()
        out.text("{\"accepted\":")
        out.decimal(tally.stored)
        out.member("rejected")
        out.decimal(tally.rejected)
        if tally.duplicates > 0 {
            out.member("duplicates")
            out.decimal(tally.duplicates)
        }
        if tally.formulas > 0 {
            out.member("formula_cells")
            out.decimal(tally.formulas)
        }
        out.text(",\"request_id\":\"")
        out.bytes(requestID)
        out.text("\"")
        if let problem { writeStop(problem, behind: tally.total) }
        if body.wanted != .none {
            out.text(",\"results\":[")
            // The list is with the worker, too.
            if !body.isAway { out.bytes(body.results.bytes) }
            out.text(tally.isTruncated || body.isAway ? "],\"results_truncated\":true" : "]")
        }
        out.text("}")
    }

    /// Why the rest was not taken, and the index of the first event that was not.
    private func writeStop(_ problem: Problem, behind count: Int) {
        out.text(",\"stopped\":{\"index\":")
        out.decimal(count)
        out.member("status")
        out.decimal(problem.kind.status)
        out.text(",\"code\":\"")
        out.text(problem.kind.code)
        out.text("\",\"error\":")
        JSONText.write(problem.detail, into: &out)
        out.text(problem.kind.isRetryable ? ",\"retryable\":true}" : ",\"retryable\":false}")
    }

    private func nothingOfWindows(_ body: WindowedBody) -> Problem {
        let tally = body.tally
        if tally.rejected == 0 {
            return mediaType() == .csv ? Problem(.emptyBatch, "The body has no rows.") : bodyRequired()
        }
        if tally.busy == tally.rejected {
            return Problem(
                .idempotencyInFlight, "Events with these keys are being stored at this moment.", retryAfter: 1)
        }
        return Problem(
            tally.tooLarge == tally.rejected ? .eventTooLarge : .batchRejected,
            "None of \(tally.rejected) events is acceptable; nothing was appended.")
    }
}
