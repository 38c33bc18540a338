import BrokerCore
import ByteBuffers
import JobLedger
import Testing

@testable import IngestGateway

/// What is told of a file.
@Suite struct FileUploadTests {
    /// The list of rows goes with their number.
    @Test func whatIsNotCountedIsNotListed() throws {
        let node = try GatewayHarness()
        let upload = FileUpload(
            id: JobID(high: 1, low: 2), topic: "rows", plan: IngestPlan(file: FilePlan()), route: "/v1/files",
            owner: nil, format: .csv, formats: .csv, boundary: nil, maxBytes: 1000, jobs: node.broker.jobs)
        func append(_ line: Int64) {
            upload.didAppend(
                accepted: 1, rejected: [RejectedRow(line: line, column: nil, reason: "bad")], count: 1, bytes: 10,
                line: Int(line), CommitSpan())
        }
        append(2)
        upload.isOnDisk()
        append(4)
        append(6)
        upload.takeBack()
        #expect(upload.told.progress == JobProgress(bytes: 10, accepted: 1, rejected: 1, line: 2))
        #expect(upload.told.rejected.map(\.line) == [2] && upload.end(nil).rejected.map(\.line) == [2])
        upload.takeBack()
        #expect(upload.told.rejected.count == 1)
    }
}
