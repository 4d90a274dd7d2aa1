import CommandLineSupport

await WorkerCommand.runAndExit()
