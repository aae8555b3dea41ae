# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name        = "chat"
  zones       = ["eu-central-1a", "eu-central-1b"]
  inner_ports = { workers = { mysql = 3306 } }
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    cidr             = "10.0.0.0/24"
    zones            = ["a", "a"]
    nat              = "some"
    endpoints        = ["ECR"]
    inner_ports      = { workers = { mysql = 65536 } }
    flow_log_traffic = "NONE"
  }

  expect_failures = [
    var.cidr,
    var.zones,
    var.nat,
    var.endpoints,
    var.inner_ports,
    var.flow_log_traffic,
  ]
}
