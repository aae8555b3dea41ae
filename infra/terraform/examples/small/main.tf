# For a club or a trial: one of each, in two zones only because a database
# wants two. Tasks run in public subnets, where nobody but the balancer can
# connect to them, so that there is neither NAT nor endpoints to pay.
# What is acknowledged is on two disks; while one part is away, nobody chats.

provider "aws" {
  region = var.region
}

module "sponge" {
  source = "../.."

  name            = var.name
  release         = var.release
  secrets         = var.secrets
  secrets_version = var.secrets_version
  keys_version    = var.keys_version
  workers_runtime = var.workers_runtime

  network = {
    zones         = [for letter in var.zones : "${var.region}${letter}"]
    private_tasks = false
  }

  endpoint = {
    domain    = var.domain
    zone_id   = var.zone_id
    plain_tcp = var.plain_tcp
  }

  # Never changed later; enough for one worker of each group and some more.
  partitions = { storage = 16, other = 4 }

  edge = {
    cpu                = 256
    memory             = 512
    min                = 1
    max                = 3
    connections_target = 2000
    max_connections    = 4000
  }

  # One process for all groups. It is at home on spot capacity: when it is
  # taken back, its batches finish, and another takes its partitions.
  workers = {
    all = { groups = ["login", "friend", "group", "storage"], cpu = 256, memory = 1024, min = 1, max = 2 }
  }
  workers_capacity_provider = "FARGATE_SPOT"

  queue = {
    kind          = "broker"
    instance_type = "t4g.small"
    storage_gib   = 20
  }

  store = {
    engine                = "mysql"
    engine_version        = "8.4"
    instance_class        = "db.t4g.micro"
    backup_retention_days = 7
  }

  channels = {
    node_type = "cache.t4g.micro"
    replicas  = 0
  }

  archive = {
    schedule       = "rate(1 day)"
    lock_mode      = "GOVERNANCE"
    retention_days = 30
  }

  alarm_emails        = var.alarm_emails
  monthly_budget      = length(var.alarm_emails) > 0 ? var.monthly_budget : null
  log_retention_days  = 30
  container_insights  = false
  deletion_protection = var.deletion_protection
}
