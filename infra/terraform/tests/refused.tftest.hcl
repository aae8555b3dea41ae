# Every validation refuses what it is there for.
mock_provider "aws" {
  source = "tests/mocks"
}

variables {
  name     = "chat"
  release  = "v1.0.0"
  network  = { zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  endpoint = { domain = "chat.example.com", zone_id = "Z0123456789" }
  queue    = { kind = "msk", instance_type = "kafka.m7g.large" }
  store    = { instance_class = "db.r8g.large" }
  channels = { node_type = "cache.t4g.small" }
  secrets  = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
}

run "refused_1" {
  command = plan

  variables {
    name                      = "a"
    release                   = "latest"
    secrets                   = { worker_key = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    secrets_version           = 0
    keys_version              = 0
    namespace                 = "A"
    network                   = { cidr = "10.0.0.0/20", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
    endpoint                  = { domain = "chat.example.com" }
    cpu_architecture          = "RISCV"
    edge                      = { min = 0 }
    workers                   = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] } }
    workers_capacity_provider = "EC2"
    workers_age_out           = 8
    functions                 = { memory = 128 }
    store                     = { instance_class = "db.r8g.large", engine = "postgres" }
    channels                  = { node_type = "m7g.large" }
    archive                   = { schedule = "hourly" }
    alarm_emails              = ["nobody"]
    log_level                 = "TRACE"
    log_retention_days        = 8
    tags                      = { Name = "x" }
  }

  expect_failures = [
    var.name,
    var.release,
    var.secrets,
    var.secrets_version,
    var.keys_version,
    var.namespace,
    var.network,
    var.endpoint,
    var.cpu_architecture,
    var.edge,
    var.workers,
    var.workers_capacity_provider,
    var.workers_age_out,
    var.functions,
    var.store,
    var.channels,
    var.archive,
    var.alarm_emails,
    var.log_level,
    var.log_retention_days,
    var.tags,
  ]
}

run "refused_2" {
  command = plan

  variables {
    name            = "Chat"
    release         = ""
    secrets         = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    secrets_version = 1.5
    network         = { nat = "some", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
    endpoint        = { zone_id = "Z0123456789", certificate_arn = "arn:aws:acm:x" }
    edge            = { min = 4, max = 3 }
    workers         = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "login"] } }
    workers_age_out = 0.5
    functions       = { timeout = 901 }
    store           = { instance_class = "db.r8g.large", engine_version = "5.7" }
    channels        = { node_type = "cache.t4g.small", replicas = 6 }
    archive         = { lock_mode = "OFF" }
  }

  expect_failures = [
    var.name,
    var.release,
    var.secrets,
    var.secrets_version,
    var.network,
    var.endpoint,
    var.edge,
    var.workers,
    var.workers_age_out,
    var.functions,
    var.store,
    var.channels,
    var.archive,
  ]
}

run "refused_3" {
  command = plan

  variables {
    name      = "a--b"
    secrets   = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    network   = { flow_log_traffic = "NONE", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
    endpoint  = { domain = "chat.example.com", zone_id = "Z0123456789", client_cidrs = [] }
    edge      = { drain_timeout = 106 }
    workers   = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "search"] } }
    functions = { batch_size = 5001 }
    store     = { instance_class = "db.r8g.large", engine = "mysql", engine_version = "8.0" }
    channels  = { node_type = "cache.t4g.small", engine_version = "7.2" }
    archive   = { retention_days = 0 }
  }

  expect_failures = [
    var.name,
    var.secrets,
    var.network,
    var.endpoint,
    var.edge,
    var.workers,
    var.functions,
    var.store,
    var.channels,
    var.archive,
  ]
}

run "refused_4" {
  command = plan

  variables {
    secrets   = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaa@", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    endpoint  = { domain = "chat.example.com", zone_id = "Z0123456789", client_cidrs = ["home"] }
    edge      = { drain_timeout = 4 }
    workers   = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], min = 0 } }
    functions = { pollers_min = 5, pollers_max = 4 }
    store     = { instance_class = "r8g.large" }
  }

  expect_failures = [
    var.secrets,
    var.endpoint,
    var.edge,
    var.workers,
    var.functions,
    var.store,
  ]
}

run "refused_5" {
  command = plan

  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    edge    = { deregistration_delay = 3601 }
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], max = 65 } }
    store   = { instance_class = "db.r8g.large", instances = 17 }
  }

  expect_failures = [
    var.secrets,
    var.edge,
    var.workers,
    var.store,
  ]
}

run "refused_6" {
  command = plan

  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccccccccccccccc" }
    edge    = { connections_target = 20000, max_connections = 20000 }
    store   = { instance_class = "db.r8g.large", backup_retention_days = 0 }
  }

  expect_failures = [
    var.secrets,
    var.edge,
    var.store,
  ]
}

run "refused_7" {
  command = plan

  variables {
    edge  = { connections_target = 99 }
    store = { instance_class = "db.r8g.large", tls = "false" }
  }

  expect_failures = [
    var.edge,
    var.store,
  ]
}

run "refused_8" {
  command = plan

  variables {
    edge = { cpu_target = 95 }
  }

  expect_failures = [
    var.edge,
  ]
}

run "refused_9" {
  command = plan

  variables {
    edge = { capacity_provider = "EC2" }
  }

  expect_failures = [
    var.edge,
  ]
}

run "partitions_none" {
  command = plan

  variables {
    partitions = { storage = 0, other = 16 }
  }

  expect_failures = [var.partitions]
}

run "partitions_many" {
  command = plan

  variables {
    partitions = { storage = 1001, other = 16 }
  }

  expect_failures = [var.partitions]
}

run "one_zone" {
  command = plan

  variables {
    network = { zones = ["eu-central-1a"] }
  }

  expect_failures = [var.network]
}

run "same_zone" {
  command = plan

  variables {
    network = { zones = ["eu-central-1a", "eu-central-1a"] }
  }

  expect_failures = [var.network]
}

run "runtime" {
  command = plan

  variables {
    workers_runtime = "kubernetes"
  }

  expect_failures = [var.workers_runtime]
}

run "lambda_without_msk" {
  command = plan

  variables {
    workers_runtime = "lambda"
    queue           = { kind = "broker", instance_type = "t4g.small" }
  }

  expect_failures = [var.workers_runtime]
}

run "queue_kind" {
  command = plan

  variables {
    queue = { kind = "sqs", instance_type = "t4g.small" }
  }

  expect_failures = [var.queue]
}

run "queue_type_msk" {
  command = plan

  variables {
    queue = { kind = "msk", instance_type = "m7g.large" }
  }

  expect_failures = [var.queue]
}

run "queue_type_broker" {
  command = plan

  variables {
    queue = { kind = "broker", instance_type = "kafka.m7g.large" }
  }

  expect_failures = [var.queue]
}

run "queue_brokers" {
  command = plan

  variables {
    queue = { kind = "msk", instance_type = "kafka.m7g.large", brokers = 4 }
  }

  expect_failures = [var.queue]
}

run "queue_disk" {
  command = plan

  variables {
    queue = { kind = "msk", instance_type = "kafka.m7g.large", storage_gib = 100, storage_max_gib = 99 }
  }

  expect_failures = [var.queue]
}

run "budget_zero" {
  command = plan

  variables {
    monthly_budget = 0
    alarm_emails   = ["a@example.com"]
  }

  expect_failures = [var.monthly_budget]
}

run "budget_for_nobody" {
  command = plan

  variables {
    monthly_budget = 10
  }

  expect_failures = [var.monthly_budget]
}
