import DiskTrials
import Glibc

/// The process under test: `disk-workload DATA-DIRECTORY RECORD [GROUPS [unsynced]]`.
var workload = StoreWorkload(directory: CommandLine.arguments[1], record: CommandLine.arguments[2])
if CommandLine.arguments.count > 3 { workload.groups = Int(CommandLine.arguments[3]) ?? workload.groups }
workload.syncsGroups = CommandLine.arguments.last != "unsynced"
exit(workload.runAsProcess())
