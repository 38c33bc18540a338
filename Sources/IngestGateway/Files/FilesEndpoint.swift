import BrokerCore
import ByteBuffers
import HTTPWire
import JobLedger
import KafkaModel
import RecordFormat
import Security

/// `POST /v1/files?topic=&format=&header=&skip_lines=&delimiter=`: a file of rows or lines, as the body or in the field `file` of a form.
/// Each row is a record of the topic; what is none goes to the quarantine, and the rest goes on.
///
///     201 {"request_id":"…","job_id":"…","topic":"t","rows":3,"accepted":2,"rejected":1,"bytes":80,"line":4,"quarantine":"quarantine.t",
///          "errors":[{"line":3,"column":2,"reason":"…"}]}
enum FilesEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topicOfQuery(.write) }
    static var parameters: [StaticString]? { ["topic", "format", "header", "skip_lines", "delimiter"] }
    static var fields: KnownFields { KnownFields(.partitionKey) }
    static var target: EventTarget? { .query }
    static var takesFiles: Bool { true }
    static var operation: OperationText {
        OperationText(
            summary: "Stores the rows of a file, and quarantines those that are not acceptable", successes: [201],
            outcome: "All of the file is on disk.", schema: "File")
    }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        if let problem = loop.fileProblem() { return .refused(problem) }
        switch FileQuery.read(loop.head.query) {
        case .failure(let problem): return .refused(problem)
        case .success(let query):
            // A header would be stored, or a row lost.
            if loop.mediaType() == .csv, let says = loop.saysHeader, says != (query.csv.columns == nil) {
                return .refused(
                    Problem(
                        .unsupportedMediaType,
                        says
                            ? "The parameter header names the columns, and every row is an event: send the rows alone, with header=absent."
                            : "The names of the columns come from the first row: send one, with header=present, or name them by "
                                + "the parameter header."))
            }
            var format = query.format
            if loop.mediaType() != .multipart { format = format ?? FileFormat(loop.mediaType()) }
            let plan = IngestPlan(csv: query.csv, file: FilePlan())
            return loop.wishForFile(to: query.topic, plan, format)
        }
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        loop.postRouted(body, .many(.partial, GatewayLoop.ResultsWanted.none))
    }
}

/// A configured route that takes files.
enum RoutedFileEndpoint: HTTPEndpoint {
    static var access: EndpointAccess { .topic(.write) }
    static var parameters: [StaticString]? { [] }
    static var fields: KnownFields { FilesEndpoint.fields }
    static var target: EventTarget? { .row }
    static var takesFiles: Bool { true }
    static var operation: OperationText { FilesEndpoint.operation }

    static func wish(on loop: GatewayLoop) -> BodyWish {
        guard let plan = loop.routeRow.pointee.plan else { preconditionFailure("a configured route without a plan") }
        if let problem = loop.fileProblem() { return .refused(problem) }
        return loop.wishForFile(
            to: String(decoding: loop.routeRow.pointee.topic, as: UTF8.self), plan, FileFormat(loop.mediaType()))
    }

    static func handle(_ body: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Completion {
        FilesEndpoint.handle(body, on: loop)
    }
}

/// What the query of `/v1/files` says.
struct FileQuery {
    var topic = ""
    var format: FileFormat?
    var csv = CSVPlan()

    static func read(_ text: UnsafeRawBufferPointer) -> Result<FileQuery, Problem> {
        var query = FileQuery()
        var items = QueryItems(text)
        while let item = items.next() {
            guard let value = PercentDecoding.string(item.value, plusIsSpace: true) else {
                return .failure(Problem(.invalidParameter, "A parameter is no percent-encoded UTF-8."))
            }
            if let words = query.take(item.name, value) { return .failure(Problem(.invalidParameter, words)) }
        }
        if query.topic.isEmpty {
            return .failure(
                Problem(.invalidParameter, "The query parameter topic says where the rows go: ?topic=NAME."))
        }
        return .success(query)
    }

    /// Gives why a parameter is not taken.
    private mutating func take(_ name: UnsafeRawBufferPointer, _ value: String) -> String? {
        if name.equals("topic") {
            topic = value
        } else if name.equals("format") {
            guard let known = FileFormat(value) else { return "format is csv, ndjson or json." }
            format = known
        } else if name.equals("header") {
            let columns = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard columns.count <= CSVRows.maxCells, csv.members(of: columns) != nil else {
                return "header has the names of the columns, of a file that begins with none: header=a,b. "
                    + CSVPlan.namesProblem + ", or there are more than \(CSVRows.maxCells)."
            }
            csv.columns = columns
        } else if name.equals("skip_lines") {
            guard let count = Int(value), (0...CSVPlan.maxSkippedLines).contains(count) else {
                return "skip_lines is a number from 0 to \(CSVPlan.maxSkippedLines): the lines before the header."
            }
            csv.skippedLines = count
        } else if name.equals("delimiter") {
            guard let byte = CSVPlan.delimiter(value) else {
                return "delimiter is one character of ASCII, no quote and no line end; or tab."
            }
            csv.delimiter = byte
        }
        return nil
    }

    /// The topic alone, for who asks whether it may be written to; nil: it is not named, or not in UTF-8.
    static func topic(of text: UnsafeRawBufferPointer) -> String? {
        var items = QueryItems(text)
        while let item = items.next() {
            if item.name.equals("topic") { return PercentDecoding.string(item.value, plusIsSpace: true) }
        }
        return nil
    }
}

extension GatewayLoop {
    /// Why the request at hand is none with a file, by its head alone.
    func fileProblem() -> Problem? {
        if let problem = notUnderstood() ?? unsupportedCoding() ?? unsupportedMediaType() ?? keyMissing()
            ?? keyTooLarge()
        {
            return problem
        }
        // A web page sends a form wherever it likes, without asking: only pages that the route knows may.
        if mediaType() == .multipart, let origin = pageOrigin,
            routeRow.pointee.cors?.allows(origin) != true
        {
            return Problem(
                .forbidden,
                "No web page of \(String(decoding: origin, as: UTF8.self)) may send files here: its origin is not in the route's cors."
            )
        }
        if case .length(let length) = head.body, head[.contentEncoding] == nil,
            length > options.maxFileBytes + MultipartForm.maxPartFieldBytes
        {
            return bodyTooLarge(options.maxFileBytes)
        }
        return nil
    }

    /// Begins to take a file. `format` nil: its part of the form says it.
    func wishForFile(to topic: String, _ plan: IngestPlan, _ format: FileFormat?) -> BodyWish {
        var boundary: [UInt8]?
        if mediaType() == .multipart {
            boundary = head[.contentType].flatMap { MultipartForm.boundary(of: $0) }
            if boundary == nil {
                return .refused(
                    Problem(
                        .invalidForm,
                        "The Content-Type names no boundary of 1 to \(MultipartForm.maxBoundaryBytes) characters."))
            }
        }
        let id = identifiers.next(atMs: wallClockMs)
        let upload = FileUpload(
            id: JobID(high: id.high, low: id.low), topic: topic, plan: plan,
            route: String(decoding: head.path, as: UTF8.self), owner: asker?.registered.subject.principal.name.text,
            format: format, formats: routeRow.pointee.mediaTypes,
            boundary: boundary, maxBytes: options.maxFileBytes, jobs: broker.jobs)
        let coding = head[.contentEncoding].flatMap { BodyCoding($0) }
        do throws(CompressionError) {
            let body = try WindowedBody(.lines, coding, wanted: .none, options, upload: upload)
            return .streamed(body, upTo: .max)
        } catch {
            return .refused(Problem(.overloaded, "There is no memory to unpack the file.", retryAfter: 1))
        }
    }
}

extension Problem {
    /// What a refusal of the jobs is by HTTP.
    convenience init(_ refusal: JobRefusal) {
        switch refusal {
        case .tooManyRunning(let most):
            self.init(.jobLimit, "\(most) jobs run already, which is as many as may.", limit: most, retryAfter: 5)
        case .notFound: self.init(.jobNotFound, "There is no such job.")
        case .ended: self.init(.jobEnded, "The job has ended.")
        case .unavailable(let words): self.init(.storageUnavailable, "Jobs cannot be kept: \(words).", retryAfter: 5)
        }
    }
}
