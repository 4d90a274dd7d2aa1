import CommandLineSupport

await Inspect.runAndExit()
