import NIOCore
import TQModel

/// Streams on the event loop: opened on every connection anew, with the credit they have left.
extension Session {
    func begin(_ stream: DeliveryStream) {
        guard !isClosed else { return stream.onEnd(TQError(.connectionFailed, "The client was closed.")) }
        streams[stream.number] = stream
        guard let connection else { return connectAgain() }
        connection.send([openCall(stream)])
    }

    func openCall(_ stream: DeliveryStream) -> Call {
        var claim = stream.claim
        claim.count = stream.credit
        // Every connection opens the stream itself, so the call dies with its connection.
        return Call(.openStream(stream: stream.number, claim), resend: .never, patience: .zero) { [weak self] result in
            guard let self, case .failure(let error) = result else { return }
            self.openFailed(stream, error)
        }
    }

    private func openFailed(_ stream: DeliveryStream, _ error: TQError) {
        guard streams[stream.number] === stream, connection != nil else { return }
        guard error.retryable else {
            streams[stream.number] = nil
            return stream.onEnd(error)
        }
        guard error.code != .outcomeUnknown else { return }
        let wait = stream.backoff.next(atLeastMilliseconds: error.retryAfterMilliseconds)
        eventLoop.scheduleTask(in: wait.timeAmount) {
            guard self.streams[stream.number] === stream, let connection = self.connection else { return }
            connection.send([self.openCall(stream)])
        }
    }

    /// Ends every stream: there is no broker for them, or they are not wanted any more (`nil`).
    func endStreams(because error: TQError?) {
        let ended = streams.values
        streams = [:]
        for stream in ended { stream.onEnd(error) }
    }

    func deliver(_ number: UInt32, _ deliveries: [Delivery]) {
        guard let stream = streams[number] else { return giveBack(deliveries) }
        stream.credit -= min(stream.credit, UInt32(clamping: deliveries.count))
        stream.onDeliveries(deliveries)
    }
}
