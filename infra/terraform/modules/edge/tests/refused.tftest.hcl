# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  health_command      = ["/sponge", "health"]
  health_path         = "/healthz"
  ports               = { frames = 8000, web = 8080, metrics = 9100, tls = 8443, wss = 443 }
  metrics             = { namespace = "Sponge", connections = "Connections" }
  certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0"
  vpc_id              = "vpc-0"
  balancer_subnet_ids = ["subnet-8"]
  subnet_ids          = ["subnet-0"]
  security_group_id   = "sg-0"
  cluster             = "chat"
  image               = "r/chat:v1"
  environment         = {}
  secrets             = {}
  secrets_version     = "1.1"
  repository_arn      = "arn:aws:ecr:eu-central-1:123456789012:repository/chat"
  kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/0"
  ecs_cluster_arn     = "arn:aws:ecs:eu-central-1:123456789012:cluster/chat"
  ecs_cluster_name    = "chat"
}

run "accepted" {
  command = plan
}

run "ports" {
  command = plan
  variables {
    ports = { frames = 8000, web = 8000, metrics = 9100, tls = 8443, wss = 443 }
  }
  expect_failures = [var.ports]
}

run "capacity_provider" {
  command = plan
  variables {
    capacity_provider = "EC2"
  }
  expect_failures = [var.capacity_provider]
}

run "count_min" {
  command = plan
  variables {
    count_min = 0
  }
  expect_failures = [var.count_min]
}

run "count_max" {
  command = plan
  variables {
    count_max = 1
  }
  expect_failures = [var.count_max]
}

run "connections_per_edge" {
  command = plan
  variables {
    connections_per_edge = 1
  }
  expect_failures = [var.connections_per_edge]
}

run "cpu_target" {
  command = plan
  variables {
    cpu_target = 99
  }
  expect_failures = [var.cpu_target]
}

run "drain_timeout" {
  command = plan
  variables {
    drain_timeout = 101
  }
  expect_failures = [var.drain_timeout]
}

run "deregistration_delay" {
  command = plan
  variables {
    deregistration_delay = -1
  }
  expect_failures = [var.deregistration_delay]
}

run "idle_timeout" {
  command = plan
  variables {
    idle_timeout = 6001
  }
  expect_failures = [var.idle_timeout]
}

run "client_cidrs" {
  command = plan
  variables {
    client_cidrs = ["everywhere"]
  }
  expect_failures = [var.client_cidrs]
}

run "zone_id" {
  command = plan
  variables {
    zone_id = "Z0"
  }
  expect_failures = [var.zone_id]
}

run "certificate_arn" {
  command = plan
  variables {
    certificate_arn = null
  }
  expect_failures = [var.certificate_arn]
}

run "tls_policy" {
  command = plan
  variables {
    tls_policy = "ELBSecurityPolicy-2016-08"
  }
  expect_failures = [var.tls_policy]
}
