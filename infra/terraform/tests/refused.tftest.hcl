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
  secrets  = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
}

run "name_short" {
  command = plan
  variables {
    name = "a"
  }
  expect_failures = [var.name]
}

run "name_upper" {
  command = plan
  variables {
    name = "Chat"
  }
  expect_failures = [var.name]
}

run "name_dashes" {
  command = plan
  variables {
    name = "a--b"
  }
  expect_failures = [var.name]
}

run "release_latest" {
  command = plan
  variables {
    release = "latest"
  }
  expect_failures = [var.release]
}

run "release_empty" {
  command = plan
  variables {
    release = ""
  }
  expect_failures = [var.release]
}

run "worker_key_no_key" {
  command = plan
  variables {
    secrets = { worker_key = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "seal_key_no_key" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "seal_key_is_worker_key" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "password_with_signs" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaa@", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "token_short" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "kafka_password_long" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "secrets_version_zero" {
  command = plan
  variables {
    secrets_version = 0
  }
  expect_failures = [var.secrets_version]
}

run "secrets_version_half" {
  command = plan
  variables {
    secrets_version = 1.5
  }
  expect_failures = [var.secrets_version]
}

run "keys_version_zero" {
  command = plan
  variables {
    keys_version = 0
  }
  expect_failures = [var.keys_version]
}

run "namespace_upper" {
  command = plan
  variables {
    namespace = "A"
  }
  expect_failures = [var.namespace]
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

run "cidr_small" {
  command = plan
  variables {
    network = { cidr = "10.0.0.0/20", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  expect_failures = [var.network]
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

run "nat_some" {
  command = plan
  variables {
    network = { nat = "some", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  expect_failures = [var.network]
}

run "flow_none" {
  command = plan
  variables {
    network = { flow_log_traffic = "NONE", zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  expect_failures = [var.network]
}

run "no_certificate" {
  command = plan
  variables {
    endpoint = { domain = "chat.example.com" }
  }
  expect_failures = [var.endpoint]
}

run "zone_without_domain" {
  command = plan
  variables {
    endpoint = { zone_id = "Z0123456789", certificate_arn = "arn:aws:acm:x" }
  }
  expect_failures = [var.endpoint]
}

run "no_clients" {
  command = plan
  variables {
    endpoint = { domain = "chat.example.com", zone_id = "Z0123456789", client_cidrs = [] }
  }
  expect_failures = [var.endpoint]
}

run "client_name" {
  command = plan
  variables {
    endpoint = { domain = "chat.example.com", zone_id = "Z0123456789", client_cidrs = ["home"] }
  }
  expect_failures = [var.endpoint]
}

run "architecture" {
  command = plan
  variables {
    cpu_architecture = "RISCV"
  }
  expect_failures = [var.cpu_architecture]
}

run "no_edges" {
  command = plan
  variables {
    edge = { min = 0 }
  }
  expect_failures = [var.edge]
}

run "fewer_edges" {
  command = plan
  variables {
    edge = { min = 4, max = 3 }
  }
  expect_failures = [var.edge]
}

run "drain_beyond_fargate" {
  command = plan
  variables {
    edge = { drain_timeout = 106 }
  }
  expect_failures = [var.edge]
}

run "drain_short" {
  command = plan
  variables {
    edge = { drain_timeout = 4 }
  }
  expect_failures = [var.edge]
}

run "deregistration" {
  command = plan
  variables {
    edge = { deregistration_delay = 3601 }
  }
  expect_failures = [var.edge]
}

run "full_before_scaling" {
  command = plan
  variables {
    edge = { connections_target = 20000, max_connections = 20000 }
  }
  expect_failures = [var.edge]
}

run "few_connections" {
  command = plan
  variables {
    edge = { connections_target = 99 }
  }
  expect_failures = [var.edge]
}

run "cpu_target" {
  command = plan
  variables {
    edge = { cpu_target = 95 }
  }
  expect_failures = [var.edge]
}

run "edge_capacity" {
  command = plan
  variables {
    edge = { capacity_provider = "EC2" }
  }
  expect_failures = [var.edge]
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

run "group_missing" {
  command = plan
  variables {
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] } }
  }
  expect_failures = [var.workers]
}

run "group_twice" {
  command = plan
  variables {
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "login"] } }
  }
  expect_failures = [var.workers]
}

run "group_unknown" {
  command = plan
  variables {
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "search"] } }
  }
  expect_failures = [var.workers]
}

run "workers_none" {
  command = plan
  variables {
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], min = 0 } }
  }
  expect_failures = [var.workers]
}

run "workers_beyond_partitions" {
  command = plan
  variables {
    workers = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], max = 65 } }
  }
  expect_failures = [var.workers]
}

run "workers_capacity" {
  command = plan
  variables {
    workers_capacity_provider = "EC2"
  }
  expect_failures = [var.workers_capacity_provider]
}

run "age_out_late" {
  command = plan
  variables {
    workers_age_out = 8
  }
  expect_failures = [var.workers_age_out]
}

run "age_out_early" {
  command = plan
  variables {
    workers_age_out = 0.5
  }
  expect_failures = [var.workers_age_out]
}

run "function_memory" {
  command = plan
  variables {
    functions = { memory = 128 }
  }
  expect_failures = [var.functions]
}

run "function_timeout" {
  command = plan
  variables {
    functions = { timeout = 901 }
  }
  expect_failures = [var.functions]
}

run "function_batch" {
  command = plan
  variables {
    functions = { batch_size = 5001 }
  }
  expect_failures = [var.functions]
}

run "function_pollers" {
  command = plan
  variables {
    functions = { pollers_min = 5, pollers_max = 4 }
  }
  expect_failures = [var.functions]
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

run "store_engine" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", engine = "postgres" }
  }
  expect_failures = [var.store]
}

run "store_version" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", engine_version = "5.7" }
  }
  expect_failures = [var.store]
}

run "store_version_mysql" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", engine = "mysql", engine_version = "8.0" }
  }
  expect_failures = [var.store]
}

run "store_class" {
  command = plan
  variables {
    store = { instance_class = "r8g.large" }
  }
  expect_failures = [var.store]
}

run "store_instances" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", instances = 17 }
  }
  expect_failures = [var.store]
}

run "store_backups" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", backup_retention_days = 0 }
  }
  expect_failures = [var.store]
}

run "store_tls" {
  command = plan
  variables {
    store = { instance_class = "db.r8g.large", tls = "false" }
  }
  expect_failures = [var.store]
}

run "channels_type" {
  command = plan
  variables {
    channels = { node_type = "m7g.large" }
  }
  expect_failures = [var.channels]
}

run "channels_replicas" {
  command = plan
  variables {
    channels = { node_type = "cache.t4g.small", replicas = 6 }
  }
  expect_failures = [var.channels]
}

run "channels_version" {
  command = plan
  variables {
    channels = { node_type = "cache.t4g.small", engine_version = "7.2" }
  }
  expect_failures = [var.channels]
}

run "archive_schedule" {
  command = plan
  variables {
    archive = { schedule = "hourly" }
  }
  expect_failures = [var.archive]
}

run "archive_mode" {
  command = plan
  variables {
    archive = { lock_mode = "OFF" }
  }
  expect_failures = [var.archive]
}

run "archive_days" {
  command = plan
  variables {
    archive = { retention_days = 0 }
  }
  expect_failures = [var.archive]
}

run "emails" {
  command = plan
  variables {
    alarm_emails = ["nobody"]
  }
  expect_failures = [var.alarm_emails]
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

run "log_level" {
  command = plan
  variables {
    log_level = "TRACE"
  }
  expect_failures = [var.log_level]
}

run "log_retention" {
  command = plan
  variables {
    log_retention_days = 8
  }
  expect_failures = [var.log_retention_days]
}

run "tags" {
  command = plan
  variables {
    tags = { Name = "x" }
  }
  expect_failures = [var.tags]
}
