# What a plan holds, part by part; both runtimes, both queues.
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

run "ecs" {
  assert {
    condition     = length(module.functions) == 0 && length(module.workers[0].service_names) == 4
    error_message = "ecs: a service for each group, and no function."
  }

  assert {
    condition     = alltrue([for group in local.groups : jsondecode(output.containers.workers[group])[0].command == ["worker", group]])
    error_message = "Each service runs its group."
  }

  # The migration comes first, and a worker waits for its success.
  assert {
    condition = alltrue([for group in local.groups :
      jsondecode(output.containers.workers[group])[0].dependsOn == [{ condition = "SUCCESS", containerName = "migrate" }] &&
      jsondecode(output.containers.workers[group])[1].command == ["migrate"] &&
      !jsondecode(output.containers.workers[group])[1].essential
    ])
    error_message = "Workers wait for migrate."
  }

  assert {
    condition     = alltrue([for c in flatten([for text in concat([output.containers.edge, output.containers.archive], values(output.containers.workers)) : jsondecode(text)]) : c.readonlyRootFilesystem && c.user == "65532:65532" && c.linuxParameters.capabilities.drop == ["ALL"]])
    error_message = "No container runs as root, writes to its disk or has capabilities."
  }

  # What is secret is not a plain variable of any container.
  assert {
    condition     = alltrue([for c in flatten([for text in concat([output.containers.edge, output.containers.archive], values(output.containers.workers)) : jsondecode(text)]) : length(setintersection([for v in c.environment : v.name], ["SPONGE_MYSQL", "SPONGE_REDIS", "SPONGE_WORKER_KEY", "SPONGE_SEAL_KEY", "SPONGE_KAFKA_PASSWORD"])) == 0])
    error_message = "Secrets come from Secrets Manager."
  }

  # An edge has neither the database nor the workers' key.
  assert {
    condition     = length(setintersection([for s in jsondecode(output.containers.edge)[0].secrets : s.name], ["SPONGE_MYSQL", "SPONGE_WORKER_KEY"])) == 0
    error_message = "Edges know connections, never rows or keys."
  }

  assert {
    condition     = jsondecode(output.containers.edge)[0].stopTimeout == 30 && { for v in jsondecode(output.containers.edge)[0].environment : v.name => v.value }["SPONGE_EDGE_DRAIN_TIMEOUT"] == "15s"
    error_message = "An edge is killed only well after its drain."
  }

  assert {
    condition     = slice(jsondecode(output.containers.archive)[0].command, 0, 4) == ["audit", "archive", "--to", output.archive]
    error_message = "The archive's task writes to the bucket."
  }

  assert {
    condition     = contains(module.observability.alarms, "chat-queue-offline-partitions") && !contains(module.observability.alarms, "chat-queue-down")
    error_message = "MSK has MSK's alarms."
  }
}

run "lambda" {
  variables {
    workers_runtime = "lambda"
  }

  assert {
    condition     = length(module.workers) == 0 && join(",", keys(module.functions[0].function_names)) == join(",", sort(local.groups)) && join(",", keys(module.functions[0].mappings)) == join(",", sort(local.groups))
    error_message = "lambda: a function and a mapping for each group, and no service."
  }

  assert {
    condition     = output.containers.workers == null
    error_message = "No worker container."
  }

  assert {
    condition     = contains(module.observability.alarms, "chat-function-storage")
    error_message = "Functions have alarms."
  }
}

run "single_broker" {
  variables {
    queue = { kind = "broker", instance_type = "t4g.small" }
    store = { engine = "mysql", engine_version = "8.4", instance_class = "db.t4g.micro" }
  }

  assert {
    condition     = length(module.queue) == 0 && output.kafka == "10.64.0.10:9092"
    error_message = "A single broker, at an address that is known."
  }

  # Everything that a single broker's cluster is given, today's binary knows.
  assert {
    condition     = length(local.pending.kafka) == 0 && length(local.pending.kafka_secrets) == 0 && !contains(keys(module.secrets.arns), "kafka")
    error_message = "No TLS, no user."
  }
}

run "own_certificate" {
  variables {
    endpoint = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1", plain_tcp = true, internal = true }
    network  = { zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"], nat = "per_zone", flow_log_traffic = "ALL" }
  }

  assert {
    condition     = output.connect.host == output.balancer && contains(keys(output.connect.addresses), "frames")
    error_message = "Without a domain, clients use the balancer's name."
  }
}
