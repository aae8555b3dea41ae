# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  services          = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"] } }
  all_groups        = ["login", "friend", "group", "storage"]
  partitions        = { login = 16, friend = 16, group = 16, storage = 64 }
  metrics           = { namespace = "Sponge", age = "OldestUnhandledAge" }
  metrics_port      = 9100
  health_command    = ["/sponge", "health"]
  migrate           = { environment = {}, secrets = {} }
  subnet_ids        = ["subnet-0"]
  security_group_id = "sg-0"
  cluster           = "chat"
  image             = "r/chat:v1"
  environment       = {}
  secrets           = {}
  secrets_version   = "1.1"
  repository_arn    = "arn:aws:ecr:eu-central-1:123456789012:repository/chat"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/0"
  ecs_cluster_arn   = "arn:aws:ecs:eu-central-1:123456789012:cluster/chat"
  ecs_cluster_name  = "chat"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    services          = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "search"] } }
    cpu_in            = 90
    capacity_provider = "EC2"
  }

  expect_failures = [
    var.services,
    var.cpu_in,
    var.capacity_provider,
  ]
}

run "refused_2" {
  command = plan

  variables {
    services = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage", "login"] } }
  }

  expect_failures = [
    var.services,
  ]
}

run "refused_3" {
  command = plan

  variables {
    services = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] } }
  }

  expect_failures = [
    var.services,
  ]
}

run "refused_4" {
  command = plan

  variables {
    services = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], min = 3, max = 2 } }
  }

  expect_failures = [
    var.services,
  ]
}

run "refused_5" {
  command = plan

  variables {
    services = { login = { groups = ["login"] }, friend = { groups = ["friend"] }, group = { groups = ["group"] }, storage = { groups = ["storage"], max = 65 } }
  }

  expect_failures = [
    var.services,
  ]
}

run "age_out" {
  command = plan

  variables {
    age_out = 0
    age_in  = -1
  }

  expect_failures = [var.age_out]
}

run "age_in" {
  command = plan

  variables {
    age_in = 2
  }

  expect_failures = [var.age_in]
}
