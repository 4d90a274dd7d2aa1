import CommandLineSupport

await SimulateCommand.runAndExit()
