extension RandomAccessCollection {
    /// Returns the index of the first element for which `predicate` holds, by a binary search; `endIndex` if it holds for
    /// none. It must hold for every element behind the first for which it does.
    @inlinable
    public func partitioningIndex<Failure: Error>(
        where predicate: (Element) throws(Failure) -> Bool
    ) throws(Failure) -> Index {
        var low = startIndex
        var count = count
        while count > 0 {
            let half = count / 2
            let middle = index(low, offsetBy: half)
            if try predicate(self[middle]) {
                count = half
            } else {
                low = index(after: middle)
                count -= half + 1
            }
        }
        return low
    }
}
