import CommandLineSupport
import Glibc

// A program that doesn't read its payload closes the pipe early: an error to handle, not a reason to die.
signal(SIGPIPE, SIG_IGN)
StopSignals.catchAll()
await WorkerCommand.runAndExit()
