#!/usr/bin/env bash
# A SLURM cluster of two virtual nodes on this machine, without systemd and cgroups, for tests.
#   slurm-two-nodes.sh install                     installs SLURM where it is missing; needs Debian or Ubuntu, and root
#   slurm-two-nodes.sh start FOLDER PORT PORT PORT starts the controller and the nodes; all that they write is in FOLDER
#   slurm-two-nodes.sh stop FOLDER                 ends them and their jobs
# SLURM_CONF=FOLDER/slurm.conf lets SLURM's commands find the cluster. The partition `high` preempts jobs of `low`.
set -euo pipefail

install() {
  if command -v slurmctld slurmd sbatch >/dev/null; then return; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is missing, so its tests are skipped: as root, apt-get install slurm-wlm" >&2
    return
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm >/dev/null
}

# Credentials are neither made nor checked (auth/none): the cluster lives for a test, of one user on one machine.
# A requeued job may start after cred_expire; with the default it would wait for two minutes.
configuration() {
  local host user memory
  host=$(hostname -s)
  user=$(id -un)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 2048 - 512))
  cat <<CONF
ClusterName=two
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$1
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation=$folder/controller
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/controller.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/controller.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MaxArraySize=4
KillWait=15
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$2 CPUs=1 RealMemory=$memory
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$3 CPUs=1 RealMemory=$memory
PartitionName=low Nodes=n[1-2] Default=YES PriorityTier=1 GraceTime=60 MaxTime=INFINITE
PartitionName=high Nodes=n[1-2] PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE
CONF
}

start() {
  mkdir -p "$folder"/{controller,n1,n2}
  configuration "$@" >"$folder/slurm.conf"
  export SLURM_CONF="$folder/slurm.conf"
  slurmctld
  slurmd -N n1
  slurmd -N n2
  for _ in {1..100}; do
    if [ "$(sinfo -h -N -p low -o %T 2>/dev/null | grep -c idle)" -eq 2 ]; then return; fi
    sleep 0.1
  done
  echo "the nodes did not become idle; see $folder/*.log" >&2
  return 1
}

stop() {
  export SLURM_CONF="$folder/slurm.conf"
  scancel --user="$(id -un)" || true
  for _ in {1..200}; do
    if [ -z "$(squeue -h)" ]; then break; fi
    sleep 0.1
  done
  for name in controller n1 n2; do
    kill "$(cat "$folder/$name.pid")" || true
  done
}

case "${1:-}" in
  install) install ;;
  start) folder=$2 && shift 2 && start "$@" ;;
  stop) folder=$2 && stop ;;
  *) echo "expected install, start FOLDER PORT PORT PORT, or stop FOLDER; received: $*" >&2 && exit 2 ;;
esac
