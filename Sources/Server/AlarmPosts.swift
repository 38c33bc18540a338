import Alarms
import ByteBuffers
import HTTPClient
import IngestGateway
import Security
import Telemetry

/// Changes of alarms on their way to webhooks. Confined to the alarms' thread, which tries again with each of its turns.
final class AlarmPosts {
    /// Changes that wait for one receiver at most: the oldest is left out for a new one.
    static let maxWaiting = 20
    /// Times that one is tried, a turn between them.
    static let maxTries = 20
    /// Receivers that are tried in one turn, so that the alarms behind some that hang are looked at all the same.
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

    /// By receiver, each in the order in which they came.
    private var waiting: [(webhook: AlarmWebhook, posts: [Post])] = []
    /// Made with the first call, which tells what is missing.
    private var caller: HTTPCaller?

    func add(_ news: Alarm.News, to webhook: AlarmWebhook) {
        var body = ByteWriter(capacity: 512)
        AlarmText.write(news, into: &body)
        let post = Post(webhook: webhook, id: SignedCall.newID(), body: body.array, alarm: news.rule.name)
        guard let index = waiting.firstIndex(where: { $0.webhook == webhook }) else {
            return waiting.append((webhook, [post]))
        }
        waiting[index].posts.append(post)
        if waiting[index].posts.count > Self.maxWaiting {
            giveUp(waiting[index].posts.removeFirst(), "\(Self.maxWaiting) others wait")
        }
    }

    /// Sends what waits: of some receivers, those behind them in the next turn. Blocks for some seconds at most.
    func turn(nowMs: Int64, isStopping: @escaping @Sendable () -> Bool) {
        for _ in 0..<min(Self.maxOfTurn, waiting.count) where !isStopping() {
            let webhook = waiting[0].webhook
            var posts = waiting.removeFirst().posts
            while !posts.isEmpty, !isStopping() {
                guard let trouble = send(posts[0], nowMs, isStopping) else {
                    posts.removeFirst()
                    continue
                }
                posts[0].tries += 1
                if posts[0].tries >= Self.maxTries { giveUp(posts.removeFirst(), trouble) }
                break
            }
            if !posts.isEmpty { waiting.append((webhook, posts)) }
        }
    }

    /// Nil: it has arrived.
    private func send(_ post: Post, _ nowMs: Int64, _ isStopping: @escaping @Sendable () -> Bool) -> String? {
        var call = SignedCall.make(
            post.id, to: post.webhook.url, post.body, key: post.webhook.signingKey,
            reach: .notMetadata(except: []), maxBodyBytes: Self.maxAnswerBytes, atMs: nowMs)
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
