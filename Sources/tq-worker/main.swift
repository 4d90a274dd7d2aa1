import CommandLineSupport

StopSignals.catchAll()
await WorkerCommand.runAndExit()
