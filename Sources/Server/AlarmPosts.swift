import Alarms
import ByteBuffers
import HTTPClient
import IngestGateway
import Security
import Telemetry

/// Changes of alarms on their way to webhooks. Confined to the alarms' thread, which tries again with each of its turns.
final class AlarmPosts {
    /// Changes that wait at most: the oldest is left out for a new one.
    static let maxWaiting = 100
    /// Times that one is tried, a turn between them.
    static let maxTries = 20
    /// Requests of one turn, so that the alarms behind a receiver that hangs are looked at all the same.
    static let maxOfTurn = 4
    private static let timeoutMs = 4_000
    private static let maxAnswerBytes = 64 << 10

    private struct Post {
        let webhook: AlarmWebhook
        let id: String
        let body: [UInt8]
        let alarm: String
        var tries = 0
    }

    private var waiting: [Post] = []
    /// Made with the first call, which tells what is missing.
    private var caller: HTTPCaller?

    func add(_ news: Alarm.News, to webhook: AlarmWebhook) {
        var body = ByteWriter(capacity: 512)
        AlarmText.write(news, into: &body)
        waiting.append(Post(webhook: webhook, id: SignedCall.newID(), body: body.array, alarm: news.rule.name))
        if waiting.count > Self.maxWaiting { giveUp(waiting.removeFirst(), "\(Self.maxWaiting) others wait") }
    }

    /// Sends what waits, the oldest first. Blocks for some seconds at most.
    func turn(nowMs: Int64, isStopping: @escaping @Sendable () -> Bool) {
        var later: [Post] = []
        for index in waiting.indices {
            guard index < Self.maxOfTurn, !isStopping() else {
                later += waiting[index...]
                break
            }
            guard let trouble = send(waiting[index], nowMs, isStopping) else { continue }
            waiting[index].tries += 1
            if waiting[index].tries < Self.maxTries {
                later.append(waiting[index])
            } else {
                giveUp(waiting[index], trouble)
            }
        }
        waiting = later
    }

    /// Nil: it has arrived.
    private func send(_ post: Post, _ nowMs: Int64, _ isStopping: @escaping @Sendable () -> Bool) -> String? {
        var call = SignedCall.make(
            post.id, to: post.webhook.url, post.body, key: post.webhook.signingKey,
            reach: .notLinkLocal(except: []), maxBodyBytes: Self.maxAnswerBytes, atMs: nowMs)
        (call.connectTimeoutMs, call.timeoutMs) = (Self.timeoutMs, Self.timeoutMs)
        do throws(HTTPCallFailure) {
            let caller = if let known = self.caller { known } else { try HTTPCaller() }
            self.caller = caller
            let status = try caller.perform(call, isStopping: isStopping).status
            return (200..<300).contains(status) ? nil : "the receiver answers \(status)"
        } catch {
            return error.reason
        }
    }

    private func giveUp(_ post: Post, _ reason: String) {
        Log.warning("an alarm could not be posted to its webhook", "alarm", post.alarm, "reason", reason)
    }
}
