/// Certificates for tests, good for a hundred years, and keys that open nothing else.
///
/// `authority` signs `server` (localhost, 127.0.0.1, *.example.org), `other` (other.example.net) and `client`
/// (CN=alice,OU=Clients,O=Millrace tests). `stranger` is signed by itself. The password is `open-sesame`.
///
/// `weakAuthority` has a key of RSA-1024 and signs `weakServerCertificate`, whose key is the server's. `intermediate` is signed by a root that is
/// not here, and signs `intermediatesClientCertificate` (CN=bob,O=Millrace tests), whose key is the client's. `endedCertificate` has
/// the server's key as well, and was good for 2020.
public enum TestCertificates {
    public static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBwTCCAWegAwIBAgIUD3/jfJMRTB+nH9JV0XPjnVzFk8QwCgYIKoZIzj0EAwIw
        LTEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxEjAQBgNVBAMMCWF1dGhvcml0eTAg
        Fw0yNjExMjkwOTI0MzBaGA8yMTI2MTEwNTA5MjQzMFowLTEXMBUGA1UECgwOTWls
        bHJhY2UgdGVzdHMxEjAQBgNVBAMMCWF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqG
        SM49AwEHA0IABFQ+tdRUVC6lwcVecBIwrGbZZ1ZJTpEYJkNSQwYx21N87WYoBPqs
        7uNnGx6O0GSkkHWHzA5K3gtp4zczlUzxHTOjYzBhMB0GA1UdDgQWBBToRJf9ecjt
        TY6Vj2+qOSg6vxnHrjAfBgNVHSMEGDAWgBToRJf9ecjtTY6Vj2+qOSg6vxnHrjAP
        BgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQDAgNIADBF
        AiBprZn9lC4exir0Ind6yQQ1YDfp15GA/6Tf/VJAgVMm9wIhAJNMtcMvzLPuciJX
        w3pcDEu/yYJhUGr9xhlVsX4BC8hv
        -----END CERTIFICATE-----
        """
    public static let serverCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIB3zCCAYWgAwIBAgIUW8af1ksR7JXDrRAdA47nmELyUuEwCgYIKoZIzj0EAwIw
        LTEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxEjAQBgNVBAMMCWF1dGhvcml0eTAg
        Fw0yNjExMjkwOTI0MzBaGA8yMTI2MTEwNTA5MjQzMFowKjEXMBUGA1UECgwOTWls
        bHJhY2UgdGVzdHMxDzANBgNVBAMMBmJyb2tlcjBZMBMGByqGSM49AgEGCCqGSM49
        AwEHA0IABEJNsR8T3aIvkuJ18GMM7WHS1PQ0OyhK9DgW+U5qC8Hj5CRamRLSfxNW
        W98kr79Lj212WiXw1oOZFEDhsZ5+kqyjgYMwgYAwKQYDVR0RBCIwIIIJbG9jYWxo
        b3N0hwR/AAABgg0qLmV4YW1wbGUub3JnMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0G
        A1UdDgQWBBQfT0RxNM9G2v1dq2ruhJD77acnTTAfBgNVHSMEGDAWgBToRJf9ecjt
        TY6Vj2+qOSg6vxnHrjAKBggqhkjOPQQDAgNIADBFAiEA5w4Bg6lg8XTwcH8Gs0Aa
        ul63sJspQPMPxcse+XVXyVMCIDBX5e6qxbKDnV2FgAEfFfHWoFVi2MIJ7CHdc5fH
        vStl
        -----END CERTIFICATE-----
        """
    public static let serverKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3CL971US5KKWIVYC
        PZbJFct2WCwpET4bQZpqbstJtT+hRANCAARCTbEfE92iL5LidfBjDO1h0tT0NDso
        SvQ4FvlOagvB4+QkWpkS0n8TVlvfJK+/S49tdlol8NaDmRRA4bGefpKs
        -----END PRIVATE KEY-----
        """
    public static let serverKeySEC1 = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEINwi/e9VEuSiliFWAj2WyRXLdlgsKRE+G0Gaam7LSbU/oAoGCCqGSM49
        AwEHoUQDQgAEQk2xHxPdoi+S4nXwYwztYdLU9DQ7KEr0OBb5TmoLwePkJFqZEtJ/
        E1Zb3ySvv0uPbXZaJfDWg5kUQOGxnn6SrA==
        -----END EC PRIVATE KEY-----
        """
    public static let serverKeyEncrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiocqIm4DWB0wICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEI+YQU4yDT6EpphvfpfEpsUEgZDt
        +cpHnyzF77+ultr1VhaIydotTQ7eQLBgnNFMRPqVr7TaHW9Uy2wOeLfxC5T114du
        YPFEOaenasWs5gzyBNYIazACAU+q4IwfRlmBNaa1MTZZAvKtxvukoxN7xSvug1ON
        WMiGel07CivOMyB3rLHioF4BACjmkuINKHcwINYiBlF8SLvfWSEMWxAr/vI97rk=
        -----END ENCRYPTED PRIVATE KEY-----
        """
    public static let otherCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBzzCCAXWgAwIBAgIUW8af1ksR7JXDrRAdA47nmELyUuIwCgYIKoZIzj0EAwIw
        LTEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxEjAQBgNVBAMMCWF1dGhvcml0eTAg
        Fw0yNjExMjkwOTI0MzBaGA8yMTI2MTEwNTA5MjQzMFowKTEXMBUGA1UECgwOTWls
        bHJhY2UgdGVzdHMxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0D
        AQcDQgAEotf0XLmKSJusIvCRBNo2+IvnX+OJ6/fVbQE3EhVQs7oa4jxT6USlclFh
        S4KW9MiAIwt6+P8MZITqW3l3SCBT4aN1MHMwHAYDVR0RBBUwE4IRb3RoZXIuZXhh
        bXBsZS5uZXQwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFAcPCtueY1aS
        das9QSbeo940yMi3MB8GA1UdIwQYMBaAFOhEl/15yO1NjpWPb6o5KDq/GceuMAoG
        CCqGSM49BAMCA0gAMEUCIDZ18g44J8z+Mzl+XLsG5lHtfRZXqohv8i09NoI97qpY
        AiEA1cM9ZpmJg8Sc0/zYc9pG9hWVJAn0LsMD4TGjCEyfzUI=
        -----END CERTIFICATE-----
        """
    public static let otherKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoXu5pP22ZuMVGsKF
        9bPxcbD9o5u83JmOWkm3gt37aEihRANCAASi1/RcuYpIm6wi8JEE2jb4i+df44nr
        99VtATcSFVCzuhriPFPpRKVyUWFLgpb0yIAjC3r4/wxkhOpbeXdIIFPh
        -----END PRIVATE KEY-----
        """
    public static let clientCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBwjCCAWmgAwIBAgIUW8af1ksR7JXDrRAdA47nmELyUuMwCgYIKoZIzj0EAwIw
        LTEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxEjAQBgNVBAMMCWF1dGhvcml0eTAg
        Fw0yNjExMjkwOTI0MzBaGA8yMTI2MTEwNTA5MjQzMFowOzEXMBUGA1UECgwOTWls
        bHJhY2UgdGVzdHMxEDAOBgNVBAsMB0NsaWVudHMxDjAMBgNVBAMMBWFsaWNlMFkw
        EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENnbsd79ZrN6VGABPlDOxdpwkzIPIDClS
        amnTFtoaGLNYfxK6vx9w7ZyO5RqnohSkMwiyg/EaWdTsW1rzH51Vh6NXMFUwEwYD
        VR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFDdLEFZ/34FqqD7b8U0W5GjpRVUO
        MB8GA1UdIwQYMBaAFOhEl/15yO1NjpWPb6o5KDq/GceuMAoGCCqGSM49BAMCA0cA
        MEQCIA6l5u/fJxvC70DhYh9C1CuFzi5j0QArQ1TpIS0UHC2gAiAg9dSPsKDfL4PM
        QhI5rNdIYk2o3fLY+EH0j7MXZCgzlQ==
        -----END CERTIFICATE-----
        """
    public static let clientKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxWfEpUnfByDwd1i/
        W2v5ZSsZGGw5RpxsOs362DutNgWhRANCAAQ2dux3v1ms3pUYAE+UM7F2nCTMg8gM
        KVJqadMW2hoYs1h/Erq/H3DtnI7lGqeiFKQzCLKD8RpZ1OxbWvMfnVWH
        -----END PRIVATE KEY-----
        """
    public static let strangerCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBfTCCASOgAwIBAgIUNV4XT0444AUFE4bZvP7SEJpcAYYwCgYIKoZIzj0EAwIw
        EzERMA8GA1UEAwwIc3RyYW5nZXIwIBcNMjYxMTI5MDkyNDMwWhgPMjEyNjExMDUw
        OTI0MzBaMBMxETAPBgNVBAMMCHN0cmFuZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0D
        AQcDQgAE6v9AQTnqBo/LFpySCqF+AoHVoX2LPw9zI6QAY6dz1JFEnxj+3lW6ZJCr
        wo55QKOJWgCON6ukaBqKdaR/FATuEaNTMFEwHQYDVR0OBBYEFPNuuf7LgHhrizks
        9+eGGemo1NQiMB8GA1UdIwQYMBaAFPNuuf7LgHhrizks9+eGGemo1NQiMA8GA1Ud
        EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgFcHrKi0NligGiWOryy9/ewt/
        TSF2RtlHYHtEPVANBT4CIQD31rkoFbY4TA/5kn65Pbhta/wWai7zHNIsfGMcR2w3
        QQ==
        -----END CERTIFICATE-----
        """
    public static let strangerKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBivRwmVpxU5l5Xf3
        lzgr/MvyRnySQBMkBCShQqMNhDOhRANCAATq/0BBOeoGj8sWnJIKoX4CgdWhfYs/
        D3MjpABjp3PUkUSfGP7eVbpkkKvCjnlAo4laAI43q6RoGop1pH8UBO4R
        -----END PRIVATE KEY-----
        """
    public static let weakAuthority = """
        -----BEGIN CERTIFICATE-----
        MIICQjCCAaugAwIBAgIUT4FbyekK0dX0hjUfFNphjysfMjQwDQYJKoZIhvcNAQEL
        BQAwMjEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxFzAVBgNVBAMMDndlYWsgYXV0
        aG9yaXR5MCAXDTI2MTEyOTExMzgxN1oYDzIxMjYxMTA1MTEzODE3WjAyMRcwFQYD
        VQQKDA5NaWxscmFjZSB0ZXN0czEXMBUGA1UEAwwOd2VhayBhdXRob3JpdHkwgZ8w
        DQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMmd63YK8GyyyVVjvkruu1sc/ZV27F2R
        OrktDuAZDOU76EMhfFcjsV1DfkUPmMowzZGRqMErvM6JhmJc5MauUe4RS8qza/rq
        5lE4V5CoH5B8SSD6xkBX3eneGYMzSvOgMX3nuVZ9nz3p1JSqvS021qynN+ojYBSn
        iKKgZ0klsCerAgMBAAGjUzBRMB0GA1UdDgQWBBRVI5CmqDY19RMOAjhGg41sfeFj
        fTAfBgNVHSMEGDAWgBRVI5CmqDY19RMOAjhGg41sfeFjfTAPBgNVHRMBAf8EBTAD
        AQH/MA0GCSqGSIb3DQEBCwUAA4GBAKnRgS7d24vwhnVlXir3Fx3kmAjVAh9rqNdg
        bFOtXvDo4MfP8HSKYhQJRCNMCMwQZP74xE2bUEWGSgKaVOP2MOARfWu3bYpFls0m
        rmuC6gM1Rgj3qK4hpKvbwuGwWY7WdIIJJ9AqITHV/Y4GaZyMX1uuH44uQEEdyqpM
        ZR5eR8+H
        -----END CERTIFICATE-----
        """
    public static let weakServerCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIB+DCCAWGgAwIBAgIUG2vesGb9TuDJQui+YWqqQ0iOWc8wDQYJKoZIhvcNAQEL
        BQAwMjEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxFzAVBgNVBAMMDndlYWsgYXV0
        aG9yaXR5MCAXDTI2MTEyOTExMzgxN1oYDzIxMjYxMTA1MTEzODE3WjAqMRcwFQYD
        VQQKDA5NaWxscmFjZSB0ZXN0czEPMA0GA1UEAwwGYnJva2VyMFkwEwYHKoZIzj0C
        AQYIKoZIzj0DAQcDQgAEQk2xHxPdoi+S4nXwYwztYdLU9DQ7KEr0OBb5TmoLwePk
        JFqZEtJ/E1Zb3ySvv0uPbXZaJfDWg5kUQOGxnn6SrKNYMFYwFAYDVR0RBA0wC4IJ
        bG9jYWxob3N0MB0GA1UdDgQWBBQfT0RxNM9G2v1dq2ruhJD77acnTTAfBgNVHSME
        GDAWgBRVI5CmqDY19RMOAjhGg41sfeFjfTANBgkqhkiG9w0BAQsFAAOBgQCdoxDI
        3Or+6oMnvewe+zF8V8u+S5o9cErxizMLB9iTocG1j2S7y6m8joU02wyitbGQv7d0
        wQ9aIAWpVPQndTR6vyHV3MmDMhMO0asm1GGcXzF/YQ58wQBbFoMuQTFnmgR2QO3x
        N4ZUMdQhKTS/XVkKozkjZyb3FSEiLnUmnttAVg==
        -----END CERTIFICATE-----
        """
    public static let intermediate = """
        -----BEGIN CERTIFICATE-----
        MIIBxjCCAWugAwIBAgIUcrsQNgVF34i23Qpw9VBuDts1wPQwCgYIKoZIzj0EAwIw
        LjEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxEzARBgNVBAMMCm91dGVyIHJvb3Qw
        IBcNMjYxMTI5MTEzODE3WhgPMjEyNjExMDUxMTM4MTdaMDAxFzAVBgNVBAoMDk1p
        bGxyYWNlIHRlc3RzMRUwEwYDVQQDDAxpbnRlcm1lZGlhdGUwWTATBgcqhkjOPQIB
        BggqhkjOPQMBBwNCAATwFSv0G1ocR2TaoJicEgxABwTSUBTrmKQDj0RgGbubrfKP
        hlRAf+2pjWLpryE8jbRtuyVApZHyEVc/jJ2NLoMao2MwYTAPBgNVHRMBAf8EBTAD
        AQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUFkJncCZd/QkJr8Yi643+ml1v
        vqkwHwYDVR0jBBgwFoAU7sGAIURVGmNGL2jRyG/MZaqblFIwCgYIKoZIzj0EAwID
        SQAwRgIhAIMIUuw4kpXkvTJqPJe0K4MPJadqWsZdLilknUpM6zCjAiEAxTvwypZW
        lo+lkE/eI+1QM5A04HX87ujGCGrRr0wLbSg=
        -----END CERTIFICATE-----
        """
    public static let intermediatesClientCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBsjCCAVigAwIBAgIUBeQrAgvY2TRCuUQ8ErNHVK0yZwgwCgYIKoZIzj0EAwIw
        MDEXMBUGA1UECgwOTWlsbHJhY2UgdGVzdHMxFTATBgNVBAMMDGludGVybWVkaWF0
        ZTAgFw0yNjExMjkxMTM4MTdaGA8yMTI2MTEwNTExMzgxN1owJzEXMBUGA1UECgwO
        TWlsbHJhY2UgdGVzdHMxDDAKBgNVBAMMA2JvYjBZMBMGByqGSM49AgEGCCqGSM49
        AwEHA0IABDZ27He/WazelRgAT5QzsXacJMyDyAwpUmpp0xbaGhizWH8Sur8fcO2c
        juUap6IUpDMIsoPxGlnU7Fta8x+dVYejVzBVMBMGA1UdJQQMMAoGCCsGAQUFBwMC
        MB0GA1UdDgQWBBQ3SxBWf9+Baqg+2/FNFuRo6UVVDjAfBgNVHSMEGDAWgBQWQmdw
        Jl39CQmvxiLrjf6aXW++qTAKBggqhkjOPQQDAgNIADBFAiEA+tZy+D2GrbXCbKll
        3/3V1GoWUp647trKfygW1sKSK0MCIEPo5Wx6EIZUJyfdjhzmuwpVujKdAjGengis
        QU9EYKI1
        -----END CERTIFICATE-----
        """

    public static let endedCertificate = """
        -----BEGIN CERTIFICATE-----
        MIIBfjCCASSgAwIBAgIBATAKBggqhkjOPQQDAjApMRcwFQYDVQQKDA5NaWxscmFj
        ZSB0ZXN0czEOMAwGA1UEAwwFZW5kZWQwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAx
        MDAwMDAwWjApMRcwFQYDVQQKDA5NaWxscmFjZSB0ZXN0czEOMAwGA1UEAwwFZW5k
        ZWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARCTbEfE92iL5LidfBjDO1h0tT0
        NDsoSvQ4FvlOagvB4+QkWpkS0n8TVlvfJK+/S49tdlol8NaDmRRA4bGefpKsoz0w
        OzAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwHQYDVR0OBBYEFB9PRHE0z0ba
        /V2rau6EkPvtpydNMAoGCCqGSM49BAMCA0gAMEUCIQCt4452K60snj5maWVP4G15
        5uoqTRHlTw+rEAhw3x4iUAIgd/baUBldWfhpkPAMW+YeJL6whLGuezUkZANLYL6o
        DQQ=
        -----END CERTIFICATE-----
        """
}
