import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Security
import Testing

@testable import KafkaServer

/// DescribeUserScramCredentials and AlterUserScramCredentials over the wire.
@Suite struct UserScramCredentialsTests {
    private func users(_ client: WireClient, _ names: [String]? = nil) throws -> [String] {
        let reply = try client.call(AccessRequests.users(names))
        #expect(reply.errorCode == 0 && reply.errorMessage == "")
        return reply.results.map { result in
            "\(result.user) \(result.errorCode)"
                + result.credentialInfos.map { " \($0.mechanism):\($0.iterations)" }.joined()
        }
    }

    private func deletion(_ name: String, _ mechanism: Int8 = 1) -> AlterUserScramCredentialsRequest {
        var deletion = AlterUserScramCredentialsRequest.ScramCredentialDeletion()
        (deletion.name, deletion.mechanism) = (name, mechanism)
        var request = AlterUserScramCredentialsRequest()
        request.deletions = [deletion]
        return request
    }

    @Test func usersAreMadeDescribedAndRemoved() throws {
        let client = try TestBroker().client()
        #expect(try users(client).isEmpty)
        let made = try client.call(AccessRequests.password("bob", "alice")).results
        #expect(
            made.map(\.user) == ["bob", "alice"] && made.allSatisfy { $0.errorCode == 0 && $0.errorMessage == nil })
        #expect(try users(client) == ["alice 0 1:4096", "bob 0 1:4096"] && users(client, []).count == 2)
        #expect(try users(client, ["bob", "eve", "alice", "bob"]) == ["bob 92", "eve 91", "alice 0 1:4096"])
        let after = try client.broker.crashed().client()
        #expect(try users(after) == ["alice 0 1:4096", "bob 0 1:4096"])
        #expect(try after.call(deletion("bob")).results.map(\.errorCode) == [0])
        #expect(try after.call(deletion("bob")).results.map(\.errorCode) == [91])
        #expect(try users(after) == ["alice 0 1:4096"])
    }

    /// RFC 7677's example: what the broker keeps is made of the salted password, and checks its owner's log-in.
    @Test func whatIsKeptIsWhatALogInIsCheckedBy() throws {
        let broker = try TestBroker()
        _ = try broker.client().call(AccessRequests.password("user"))
        let kept = try #require(broker.broker.access.scramCredential(of: "user", mechanism: .sha256))
        #expect(Base64.encode(kept.storedKey) == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=")
        #expect(Base64.encode(kept.serverKey) == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
        // Neither the password nor the salted one is on the disk.
        let salted = AccessRequests.password("user").upsertions[0].saltedPassword
        for file in ["metadata.log", "metadata.copy"] {
            let bytes = try #require(broker.fileSystem.contents("\(TestBroker.folder)/\(file)"))
            #expect(bytes.contains(kept.storedKey) && !bytes.contains(salted) && !bytes.contains(Array("pencil".utf8)))
        }
    }

    @Test func eachUserGetsOneResult() throws {
        let client = try TestBroker().client()
        var request = AccessRequests.password("", "few", "many", "what", "twice", "twice", "good")
        (request.upsertions[1].iterations, request.upsertions[2].iterations) = (4_095, 16_385)
        (request.upsertions[3].mechanism, request.upsertions[5].mechanism) = (3, 2)
        let results = try client.call(request).results
        #expect(results.map(\.user) == ["", "few", "many", "what", "twice", "good"])
        #expect(results.map(\.errorCode) == [93, 93, 93, 33, 92, 0])
        #expect(results.dropLast().allSatisfy { $0.errorMessage?.isEmpty == false })
        #expect(try users(client) == ["good 0 1:4096"])
    }

    @Test func tooManyAreRefused() throws {
        let client = try TestBroker { $0.broker.access.maxUsers = 1 }.client()
        #expect(try client.call(AccessRequests.password("a", "b")).results.map(\.errorCode) == [0, 44])
        var request = deletion("a")
        request.deletions = .init(repeating: request.deletions[0], count: ChangeLimits.maxRecords + 1)
        let results = try client.call(request).results
        #expect(results.map(\.errorCode) == [ErrorCode.policyViolation.rawValue] && results[0].user == "a")
    }
}
