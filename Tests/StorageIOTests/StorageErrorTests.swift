import Glibc
import StorageIO
import Testing

@Suite struct StorageErrorTests {
    @Test func everyDescriptionNamesThePathAndWhatToDo() {
        let cases: [(StorageError.Kind, StorageError.Operation, String)] = [
            (.io(errno: ENOSPC), .write, "free space"),
            (.io(errno: EMFILE), .open, "LimitNOFILE"),
            (.io(errno: EACCES), .open, "read and write rights"),
            (.io(errno: EIO), .sync, "kernel log"),
            (.io(errno: EINVAL), .open, "direct I/O"),
            (.lockedByAnother, .lock, "stop the other broker"),
            (.unaligned(required: 4096), .write, "multiples of 4096 bytes"),
            (.outOfService(errno: EIO), .write, "restart the broker"),
            (.tooLarge(actual: 9, limit: 8), .read, "at most 8"),
        ]
        for (kind, operation, advice) in cases {
            let text = StorageError(kind, operation, path: "/data/x").description
            #expect(text.contains("/data/x") && text.contains(advice), "\(text)")
        }
    }

    @Test func kindsOfFailureAreTold() {
        func error(_ errno: Int32) -> StorageError { StorageError(.io(errno: errno), .write, path: "x") }
        #expect(error(ENOSPC).isNoSpace && error(EDQUOT).isNoSpace && !error(EIO).isNoSpace)
        #expect(error(EIO).isDeviceFailure && error(EROFS).isDeviceFailure && !error(ENOSPC).isDeviceFailure)
        #expect(error(ENOENT).isNotFound && error(EMFILE).isTooManyOpenFiles)
        #expect(StorageError(.lockedByAnother, .lock, path: "x").isLockedByAnother)
        #expect(StorageError(.lockedByAnother, .lock, path: "x").errno == nil)
    }
}
