import Alarms
import BrokerCore
import Configuration
import KafkaModel
import Telemetry

/// An alarm, as the section `alarms` writes it. The page Routes describes the keys.
struct AlarmDeclaration {
    /// Nil: one that is there without a word shall not be.
    let rule: AlarmRule?

    /// Bytes of an alarm's name.
    static let maxNameBytes = 100

    init?(_ name: String, _ place: ConfigurationPlace, _ secrets: NamedSecrets) {
        if name.isEmpty || name.utf8.count > Self.maxNameBytes {
            place.refuse("a name has 1 to \(Self.maxNameBytes) bytes", remedy: "Choose another name")
        }
        let known = [
            "enabled", "metric", "share", "percentile", "above", "below", "for", "missing", "topic", "webhook",
        ]
        guard let fields = place.fields(known) else { return nil }
        if fields["enabled"]?.boolean() == false {
            rule = nil
            return
        }
        let bounds: [(place: ConfigurationPlace?, make: (Double) -> AlarmRule.Bound)] = [
            (fields["above"], AlarmRule.Bound.above), (fields["below"], AlarmRule.Bound.below),
        ]
        let written = bounds.filter { $0.place != nil }
        guard let metric = fields["metric"].flatMap(Self.selector), written.count == 1, let bound = written[0].place,
            let number = Self.number(bound)
        else {
            if fields["metric"] == nil || written.count != 1 {
                place.refuse(
                    "must say metric, and either above or below",
                    remedy: "Write metric: NAME{LABEL=\"VALUE\"} and above: NUMBER")
            }
            return nil
        }
        var rule = AlarmRule(name, metric, written[0].make(number))
        if let share = fields["share"] { rule.share = Self.selector(share) }
        if let place = fields["percentile"] {
            rule.percentile = Self.number(place) ?? rule.percentile
            if !(0...100).contains(rule.percentile) {
                place.refuse("is not from 0 to 100", remedy: "Write a percentile, as 99")
            }
        }
        if let place = fields["for"] { Self.readPeriods(place, &rule) }
        rule.missing = fields["missing"]?.choice(Self.missing) ?? rule.missing
        if let place = fields["topic"] {
            rule.topic = place.text()
            if let problem = rule.topic.flatMap(TopicName.problem) { place.refuse(problem, remedy: "Name a topic") }
            if rule.topic.map(Topic.isInternal) == true {
                place.refuse("is a topic that only the broker writes", remedy: "Name another topic")
            }
        }
        if let place = fields["webhook"] { rule.webhook = Self.webhook(place, secrets) }
        self.rule = rule
    }

    private static let missing: KeyValuePairs<String, AlarmRule.Missing> = [
        "nodata": .unseen, "ok": .fine, "alarm": .wrong,
    ]

    private static func webhook(_ place: ConfigurationPlace, _ secrets: NamedSecrets) -> AlarmWebhook? {
        guard let fields = place.fields(["url", "secret"]) else { return nil }
        guard let address = fields["url"], let secret = fields["secret"] else {
            place.refuse("must say url and secret", remedy: "Write webhook: {url: https://HOST/PATH, secret: NAME}")
            return nil
        }
        guard let url = address.text(), SubscriptionDeclaration.checkAddress(url, address),
            let key = SubscriptionDeclaration.key(secret, secrets)
        else { return nil }
        return AlarmWebhook(url: url, signingKey: key)
    }

    private static func selector(_ place: ConfigurationPlace) -> MetricSelector? {
        guard let text = place.text() else { return nil }
        if let selector = MetricSelector(text), selector.name.hasPrefix(MetricsRegistry.prefix) { return selector }
        place.refuse(
            "names no metric",
            remedy: "Write the name of one of /metrics, with labels or without: NAME{LABEL=\"VALUE\"}")
        return nil
    }

    private static func number(_ place: ConfigurationPlace) -> Double? {
        guard let text = place.text() else { return nil }
        if let number = Double(text), number.isFinite { return number }
        place.refuse("is no number", remedy: "Write a number, as 0.05")
        return nil
    }

    /// `3/5x60s`: three of the last five periods of 60 seconds.
    private static func readPeriods(_ place: ConfigurationPlace, _ rule: inout AlarmRule) {
        guard let text = place.text() else { return }
        let limits = AlarmRule.periodLimitsMs
        if let match = text.wholeMatch(of: #/([0-9]{1,3})\/([0-9]{1,3})x([0-9]{1,5})(s|m|h)/#),
            let wrong = Int(match.output.1), let periods = Int(match.output.2), let length = Int64(match.output.3)
        {
            let unit: Int64 = match.output.4 == "s" ? 1000 : match.output.4 == "m" ? 60_000 : 3_600_000
            (rule.wrong, rule.periods, rule.periodMs) = (wrong, periods, length * unit)
            if wrong >= 1, (wrong...max(wrong, AlarmRule.maxPeriods)).contains(periods), limits.contains(rule.periodMs)
            {
                return
            }
        }
        place.refuse(
            "does not say how many of the last periods",
            remedy: "Write as 3/5x60s: 1 to \(AlarmRule.maxPeriods) periods of \(limits.lowerBound / 1000)s to 24h")
    }

    // MARK: What is there without a word

    /// In place of which a configuration may have its own of the same name, or `off`.
    static let builtIn: [AlarmRule] = [
        share("http-errors", #"millrace_http_requests_total{status="5*"}"#, "millrace_http_requests_total", 0.01),
        share(
            "rejected-events", #"millrace_ingest_records_total{result="rejected"}"#, "millrace_ingest_records_total",
            0.01),
        share("throttled", "millrace_ratelimit_denied_total", "millrace_http_requests_total", 0.05),
        rule("disk-usage", "millrace_disk_used_ratio", .above(0.8), 1, 1),
        rule("disk-full", "millrace_disk_full", .above(0), 1, 1),
        rule("storage-offline", "millrace_storage_offline", .above(0), 1, 1),
        rule("damage", "millrace_storage_quarantined_partitions", .above(0), 1, 1),
        rule("slow-commits", "millrace_storage_commit_seconds", .above(0.25), 3, 5),
        rule("old-token-keys", "millrace_token_key_age_seconds", .above(3600), 1, 1),
        rule("stuck-forwarders", "millrace_forwarder_running", .below(1), 5, 5),
        rule("dead-letters", "millrace_queue_dead_letters", .above(0), 1, 1),
        rule("old-messages", "millrace_queue_oldest_age_seconds", .above(3600), 1, 1),
        rule("slow-drain", "millrace_queue_drain_seconds", .above(3600), 3, 5),
        // Six times as long as the work takes: source, Amazon's guide of Lambda with SQS.
        rule("short-visibility", "millrace_queue_work_visibility_ratio", .above(1.0 / 6), 3, 5),
        rule("paused-queues", "millrace_queue_paused", .above(0), 1, 1),
        rule("unreadable-messages", "millrace_queue_unreadable_messages_total", .above(0), 1, 1),
    ]

    private static func rule(
        _ name: String, _ metric: String, _ bound: AlarmRule.Bound, _ wrong: Int, _ periods: Int
    ) -> AlarmRule {
        guard let selector = MetricSelector(metric) else { preconditionFailure("\(metric) is no selector") }
        var rule = AlarmRule(name, selector, bound)
        (rule.wrong, rule.periods) = (wrong, periods)
        return rule
    }

    private static func share(_ name: String, _ part: String, _ all: String, _ most: Double) -> AlarmRule {
        var rule = rule(name, part, .above(most), 3, 5)
        rule.share = MetricSelector(all)
        return rule
    }
}
