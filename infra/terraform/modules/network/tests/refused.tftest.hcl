# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "chat"
  zones       = ["eu-central-1a", "eu-central-1b"]
  inner_ports = { mysql = [3306, 3306] }
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "cidr" {
  command = plan
  variables {
    cidr = "10.0.0.0/24"
  }
  expect_failures = [var.cidr]
}

run "zones" {
  command = plan
  variables {
    zones = ["a", "a"]
  }
  expect_failures = [var.zones]
}

run "nat" {
  command = plan
  variables {
    nat = "some"
  }
  expect_failures = [var.nat]
}

run "endpoints" {
  command = plan
  variables {
    endpoints = ["ECR"]
  }
  expect_failures = [var.endpoints]
}

run "inner_ports" {
  command = plan
  variables {
    inner_ports = { mysql = [3306, 3305] }
  }
  expect_failures = [var.inner_ports]
}

run "flow_log_traffic" {
  command = plan
  variables {
    flow_log_traffic = "NONE"
  }
  expect_failures = [var.flow_log_traffic]
}
