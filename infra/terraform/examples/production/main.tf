# Three zones, everything twice or more, TLS alone. No task reaches the
# internet: endpoints serve the private subnets.

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

  network = { zones = [for letter in var.zones : "${var.region}${letter}"] }

  endpoint = {
    domain  = var.domain
    zone_id = var.zone_id
  }

  edge = {
    cpu                = 2048
    memory             = 8192
    min                = 3
    max                = 60
    connections_target = 50000
    max_connections    = 80000
    drain_timeout      = 30
  }

  # Chat is most of what happens. Logins cost processors: argon2.
  workers = {
    login   = { groups = ["login"], cpu = 2048, memory = 4096, min = 2, max = 16 }
    friend  = { groups = ["friend"], cpu = 512, memory = 1024, min = 2, max = 8 }
    group   = { groups = ["group"], cpu = 512, memory = 1024, min = 2, max = 8 }
    storage = { groups = ["storage"], cpu = 2048, memory = 4096, min = 3, max = 32 }
  }

  queue = {
    kind            = "msk"
    instance_type   = "kafka.m7g.large"
    brokers         = 3
    storage_gib     = 500
    storage_max_gib = 8000
  }

  store = {
    engine                = "aurora-mysql"
    instance_class        = "db.r8g.2xlarge"
    instances             = 2
    backup_retention_days = 35
  }

  channels = {
    node_type = "cache.m7g.large"
    replicas  = 2
  }

  archive = {
    schedule       = "rate(1 hour)"
    lock_mode      = "COMPLIANCE"
    retention_days = var.archive_retention_days
  }

  alarm_emails = var.alarm_emails
  tags         = { Environment = "production" }
}
