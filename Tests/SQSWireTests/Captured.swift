import Foundation
import KafkaModel
import Security

@testable import SQSWire

/// A request as boto3 has sent it.
struct Captured {
    let fields: [(name: String, value: String)]
    let body: [UInt8]

    var operation: SQSOperation? {
        guard let target = fields.first(where: { $0.name == "X-Amz-Target" })?.value else { return nil }
        return Array(target.utf8).withUnsafeBytes { SQSOperation(target: $0) }
    }

    static func all() throws -> [Captured] {
        let url = Bundle.module.url(forResource: "CapturedRequests", withExtension: "txt")!
        let text = try String(contentsOf: url, encoding: .utf8)
        return text.components(separatedBy: "--- POST / HTTP/1.1\n").dropFirst().map { part in
            let halves = part.components(separatedBy: "\n\n")
            let fields = halves[0].split(separator: "\n").map { line in
                let pair = line.components(separatedBy: ": ")
                return (name: pair[0], value: pair.dropFirst().joined(separator: ": "))
            }
            return Captured(fields: fields, body: Array(halves[1].utf8))
        }
    }
}

func request(_ operation: SQSOperation, _ json: String) throws(SQSError) -> SQSRequest {
    let bytes = Array(json.utf8)
    var result: Result<SQSRequest, SQSError>!
    bytes.withUnsafeBytes { bytes in
        do throws(SQSError) { result = .success(try SQSRequest(operation, json: bytes)) } catch {
            result = .failure(error)
        }
    }
    return try result.get()
}

/// What a request is refused with; nil: it is taken.
func refusal(_ operation: SQSOperation, _ json: String) -> SQSError? {
    do throws(SQSError) {
        _ = try request(operation, json)
        return nil
    } catch {
        return error
    }
}

func form(_ text: String, path: String = "/") throws(SQSError) -> SQSRequest {
    let bytes = Array(text.utf8)
    var result: Result<SQSRequest, SQSError>!
    bytes.withUnsafeBytes { bytes in
        do throws(SQSError) {
            result = .success(try SQSRequest(try SQSForm(bytes), path: path))
        } catch { result = .failure(error) }
    }
    return try result.get()
}

/// What was read is not what was sent.
struct OtherRequest: Error {}
