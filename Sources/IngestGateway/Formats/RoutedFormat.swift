import ByteBuffers
import HTTPWire

/// What the body of a request to a configured route is, by its head.
enum RoutedFormat {
    case json, lines, csv, form, raw
    /// An event in JSON with its attributes, one or an array of them; or attributes in fields, and the body is what it is about.
    case cloudEvent, cloudEvents, binaryCloudEvent

    /// Whether the text of an event is checked JSON.
    var isJSON: Bool {
        switch self {
        case .raw, .binaryCloudEvent: false
        default: true
        }
    }
}

extension GatewayLoop {
    /// The format of a request that was admitted.
    func routedFormat() -> RoutedFormat {
        let taken = routeRow.pointee.mediaTypes
        // Elements of an array are held against a route as lines are.
        if let upload = window?.upload { return upload.format == .csv ? .csv : .lines }
        if isBinaryCloudEvent { return .binaryCloudEvent }
        guard let type = mediaType(), taken.contains(type) else { return taken.contains(.anyJSON) ? .json : .raw }
        switch type {
        case .lines: return .lines
        case .csv: return .csv
        case .form: return .form
        case .cloudEvent: return .cloudEvent
        case .cloudEvents: return .cloudEvents
        default: return .json
        }
    }

    /// Whether the attributes of an event stand in the request's fields, on a route that takes such.
    var isBinaryCloudEvent: Bool {
        head[.cloudEventsVersion] != nil && routeRow.pointee.mediaTypes.contains(.cloudEvent)
    }

    /// Fills `events` with ranges of the text that comes back, and `rejections`. A problem refuses the whole request.
    func splitRouted(
        _ body: UnsafeRawBufferPointer, _ format: RoutedFormat, _ plan: IngestPlan
    ) -> Result<UnsafeRawBufferPointer, Problem> {
        let takesMany = plan.reply.takesMany
        switch format {
        case .json, .cloudEvent, .cloudEvents:
            let takesArray = takesMany && format != .cloudEvent
            if let problem = takesArray ? splitJSON(body) : splitOne(body) { return .failure(problem) }
            return .success(body)
        case .lines:
            if let problem = splitLines(body) { return .failure(problem) }
            return .success(body)
        case .csv: return splitCSV(body, plan)
        case .form:
            // What cannot become an event that is short enough is not decoded first.
            guard body.count <= FormBody.longestEscape * options.maxEventBytes else {
                return .failure(
                    Problem(
                        .eventTooLarge, "The form is an event of more than \(options.maxEventBytes) bytes.",
                        limit: options.maxEventBytes))
            }
            if let problem = FormBody.write(body, into: &routed.source) { return .failure(problem) }
            events.append(JSONRange(0, routed.source.count))
            return .success(routed.source.bytes)
        case .raw, .binaryCloudEvent:
            if body.isEmpty, format == .raw { return .failure(bodyRequired()) }
            events.append(JSONRange(0, body.count))
            return .success(body)
        }
    }

    /// Fills `events` with the ranges of the window's whole events in the text that comes back, and `rejections`.
    func splitRoutedWindow(
        _ text: UnsafeRawBufferPointer, _ body: WindowedBody
    ) -> UnsafeRawBufferPointer {
        switch body.format {
        case .lines:
            splitWindow(text, body)
            return text
        case .array:
            splitElements(text, body)
            return text
        case .csv:
            splitRows(text, body)
            return routed.source.bytes
        }
    }

    /// An event of its own is an object: of an array nobody could say whether it is one event or many.
    private func splitOne(_ body: UnsafeRawBufferPointer) -> Problem? {
        var scanner = JSONScanner(body, limits: jsonLimits)
        let kind = scanner.peek()
        if scanner.position == body.count { return bodyRequired() }
        let start = scanner.position
        do throws(JSONFailure) {
            _ = try scanner.value()
            events.append(JSONRange(start, scanner.position))
            try scanner.finish()
        } catch {
            return Problem(error, limits: jsonLimits)
        }
        return kind == .object ? nil : Problem(.invalidField, "Request body must be a JSON object")
    }

    private func splitCSV(
        _ body: UnsafeRawBufferPointer, _ plan: IngestPlan
    ) -> Result<UnsafeRawBufferPointer, Problem> {
        var reader = CSVEvents(plan.csv, plan.schema)
        let limits = CSVEvents.Limits(
            rowBytes: options.maxEventBytes, events: plan.reply.takesMany ? jsonLimits.elements : 1,
            madeBytes: Self.maxRepeatedBytes + body.count)
        // Out of the loop's properties, so that each is looked up once a request.
        var (found, wrong): ([JSONRange], [Rejection]) = ([], [])
        swap(&found, &events)
        let problem = reader.read(body, into: &routed.source, &found, &wrong, limits).problem
        swap(&found, &events)
        rejections = wrong
        routed.formulas = reader.formulas
        if let problem { return .failure(problem) }
        return .success(routed.source.bytes)
    }
}
