import CommandLineSupport

await Admin.runAndExit()
