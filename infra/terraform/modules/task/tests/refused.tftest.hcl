# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name               = "edge"
  command            = ["edge"]
  cpu                = 256
  memory             = 512
  log_retention_days = 30
  cluster            = "chat"
  image              = "r/chat:v1"
  environment        = {}
  secrets            = {}
  secrets_version    = "1.1"
  repository_arn     = "arn:aws:ecr:eu-central-1:123456789012:repository/chat"
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    command          = []
    before           = { name = "migrate", command = ["migrate"], environment = {}, secrets = {}, timeout = 121 }
    cpu_architecture = "RISCV"
    stop_timeout     = 121
  }

  expect_failures = [
    var.command,
    var.before,
    var.cpu_architecture,
    var.stop_timeout,
  ]
}

run "cpu" {
  command = plan

  variables {
    cpu    = 300
    memory = 600
  }

  expect_failures = [var.cpu]
}

run "memory" {
  command = plan

  variables {
    memory = 256
  }

  expect_failures = [var.memory]
}
