extension ConfigurationTable {
    /// One certificate serves all listeners that speak TLS, those of the gateway as well, but for those of Kafka's protocol that have one
    /// of their own (`Configuration.listenerKeys`).
    static let tls: [ConfigurationKey] = [
        ConfigurationKey(
            "ssl.keystore.type", .choice(["PEM", "PKCS12"]), default: "PEM",
            "Form of ssl.keystore.location. A key store in Java's old form (JKS) becomes PKCS12 by keytool -importkeystore "
                + "-deststoretype PKCS12"),
        ConfigurationKey(
            "ssl.keystore.password", .secret, default: nil,
            "What the files of ssl.keystore.location are encrypted with, if they are PKCS12"),
        ConfigurationKey(
            "ssl.keystore.location", .list(among: []), default: "",
            "Files, each with a private key and its certificate, then those that signed it. The first is for "
                + "clients that ask for no name in another one. A changed file is taken within 10 s, or at SIGHUP"),
        ConfigurationKey(
            "ssl.keystore.certificate.chain", .pem, default: nil,
            "The certificate and those that signed it, in place of ssl.keystore.location"),
        ConfigurationKey(
            "ssl.keystore.key", .pem, default: nil,
            "The private key to ssl.keystore.certificate.chain: PKCS#8, PKCS#1 or SEC 1"),
        ConfigurationKey(
            "ssl.key.password", .secret, default: nil, "What the private key is encrypted with"),
        ConfigurationKey(
            "ssl.truststore.type", .choice(["PEM", "PKCS12"]), default: "PEM", "Form of ssl.truststore.location"),
        ConfigurationKey(
            "ssl.truststore.password", .secret, default: nil,
            "What ssl.truststore.location is encrypted with, if it is PKCS12"),
        ConfigurationKey(
            "ssl.truststore.location", .text, default: nil,
            "File with the certificates that sign those of clients"),
        ConfigurationKey(
            "ssl.truststore.certificates", .pem, default: nil,
            "The same, in place of ssl.truststore.location"),
        ConfigurationKey(
            "ssl.crl.location", .text, default: nil,
            "PEM file with a revocation list of each authority that has signed certificates of clients. A changed file is taken within "
                + "10 s, and who is revoked by it is cut off 5 s later"),
        ConfigurationKey(
            "ssl.crl.allow.outdated", .boolean, default: "false",
            "Whether a revocation list holds on when its next one is overdue; else clients of its authority are refused"
        ),
        ConfigurationKey(
            "ssl.client.auth", .choice(["none", "requested", "required"]), default: "none",
            "Whether Kafka clients must show a certificate; requested: may, and are anonymous without"),
        ConfigurationKey(
            "ssl.enabled.protocols", .list(among: ["TLSv1.2", "TLSv1.3"]), default: "TLSv1.2,TLSv1.3",
            "Versions of TLS"),
        ConfigurationKey(
            "ssl.cipher.suites", .list(among: []), default: "",
            "Suites, in IANA's names or OpenSSL's; empty: those with forward secrecy and AES-GCM or ChaCha20-Poly1305"),
        ConfigurationKey(
            "ssl.principal.mapping.rules", .text, default: "DEFAULT",
            "Which user a certificate's name stands for (KIP-371)"),
        ConfigurationKey(
            "http.ssl.client.auth", .choice(["none", "requested", "required"]), default: "none",
            "Whether clients of https must show a certificate. With http.auth its owner makes the requests that show no other credential"
        ),
    ]
}
